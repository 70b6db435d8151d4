// Programs that make a machine part of a botnet.

private rule elf { condition: uint32(0) == 0x464C457F }

rule Botnet_Mirai
{
    meta:
        severity = "critical"
        family = "Mirai"
        kind = "trojan"
        description = "The botnet Mirai or one of its many descendants."
        reference = "https://malpedia.caad.fkie.fraunhofer.de/details/elf.mirai"
        author = "Tallyman"
    strings:
        $name_1 = "/bin/busybox MIRAI"
        $name_2 = "/bin/busybox ECCHI"
        $part_1 = "TSource Engine Query"
        $part_2 = "listening tun0"
        $part_3 = "/dev/misc/watchdog"
        $part_4 = "POST /cdn-cgi/"
        $part_5 = "assword"
        $part_6 = "ncorrect"
        $packed_1 = "TSource Engine Query" xor(0x22)
        $packed_2 = "listening tun0" xor(0x22)
        $packed_3 = "/dev/misc/watchdog" xor(0x22)
        $packed_4 = "ncorrect" xor(0x22)
    condition:
        elf and filesize < 2MB and (any of ($name_*) or 4 of ($part_*) or 2 of ($packed_*))
}

rule Botnet_Gafgyt
{
    meta:
        severity = "critical"
        family = "Gafgyt"
        kind = "trojan"
        description = "The botnet Gafgyt (Bashlite, Qbot)."
        reference = "https://malpedia.caad.fkie.fraunhofer.de/details/elf.bashlite"
        author = "Tallyman"
    strings:
        $part_1 = "LOLNOGTFO"
        $part_2 = "KILLATTK"
        $part_3 = "GETLOCALIP"
        $part_4 = "gayfgt"
        $part_5 = "REPORT %s:%s:%s"
        $part_6 = "My IP: %s"
        $part_7 = "BUILD %s"
        $part_8 = "JUNK Flooding"
        $part_9 = "SCANNER ON | OFF"
    condition:
        elf and filesize < 2MB and 3 of ($part_*)
}

rule Botnet_Tsunami
{
    meta:
        severity = "critical"
        family = "Tsunami"
        kind = "trojan"
        description = "The IRC botnet Tsunami (Kaiten, Muhstik)."
        reference = "https://malpedia.caad.fkie.fraunhofer.de/details/elf.tsunami"
        author = "Tallyman"
    strings:
        $part_1 = "NOTICE %s :TSUNAMI <target> <secs>"
        $part_2 = "NOTICE %s :UNKNOWN <target> <secs>"
        $part_3 = "NOTICE %s :GETSPOOFS"
        $part_4 = "NOTICE %s :Spoofs: %d.%d.%d.%d"
        $part_5 = "NOTICE %s :Kaiten wa goraku"
        $part_6 = "NOTICE %s :NICK <nick>"
        $part_7 = "NOTICE %s :PAN <target> <port> <secs>"
    condition:
        elf and 2 of ($part_*)
}

rule Botnet_XorDDoS
{
    meta:
        severity = "critical"
        family = "XorDDoS"
        kind = "trojan"
        description = "The botnet XorDDoS, or the cron script that keeps it alive."
        reference = "https://malpedia.caad.fkie.fraunhofer.de/details/elf.xorddos"
        author = "Tallyman"
    strings:
        $key = "BB2FA36AAA9541F0"
        $part_1 = "/var/run/gcc.pid"
        $part_2 = "/etc/cron.hourly/gcc.sh"
        $part_3 = "/lib/libudev.so.6"
        $part_4 = "/proc/rs_dev"
        $cron_1 = "cp /lib/libudev.so /lib/libudev.so.6"
        $cron_2 = "/proc/net/dev|grep :|awk -F:"
    condition:
        (elf and ($key or 3 of ($part_*))) or (uint16(0) == 0x2123 and filesize < 4KB and all of ($cron_*))
}

rule Botnet_Mozi
{
    meta:
        severity = "critical"
        family = "Mozi"
        kind = "trojan"
        description = "The peer-to-peer botnet Mozi."
        reference = "https://malpedia.caad.fkie.fraunhofer.de/details/elf.mozi"
        author = "Tallyman"
    strings:
        $name_1 = "Mozi.m"
        $name_2 = "Mozi.a"
        $tag_1 = "[ss]"
        $tag_2 = "[/ss]"
        $tag_3 = "[hp]"
        $tag_4 = "[/hp]"
        $tag_5 = "[idp]"
        $node_1 = "dht.transmissionbt.com:6881"
        $node_2 = "router.bittorrent.com:6881"
        $node_3 = "bttracker.debian.org:6881"
    condition:
        elf and filesize < 2MB and any of ($name_*) and (3 of ($tag_*) or any of ($node_*))
}

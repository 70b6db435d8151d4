// Tools and scripts of those who break into servers and clusters.

private rule elf { condition: uint32(0) == 0x464C457F }
private rule pe { condition: uint16(0) == 0x5A4D }
private rule script { condition: uint16(0) == 0x2123 and filesize < 1MB }

rule Kinsing_Program
{
    meta:
        severity = "critical"
        family = "Kinsing"
        kind = "trojan"
        description = "Kinsing, which breaks into containers, spreads, and mines Monero."
        reference = "https://attack.mitre.org/software/S0599/"
        author = "Tallyman"
    strings:
        $part_1 = "main.getMinerPid"
        $part_2 = "main.minerRunning"
        $part_3 = "main.masscan"
        $part_4 = "main.redisBrute"
        $part_5 = "main.runTaskWithScan"
        $part_6 = "main.healthChecker"
        $part_7 = "/tmp/kdevtmpfsi"
        $part_8 = "/tmp/.ICEd-unix"
    condition:
        elf and 3 of ($part_*)
}

rule Kinsing_Script
{
    meta:
        severity = "critical"
        family = "Kinsing"
        kind = "trojan"
        description = "A script that brings Kinsing and its miner onto a machine."
        reference = "https://attack.mitre.org/software/S0599/"
        author = "Tallyman"
    strings:
        $own_1 = "kdevtmpfsi"
        $own_2 = "kinsing"
        $act_1 = "crontab -"
        $act_2 = /chmod\s[^\n]{1,80}kinsing/
        $act_3 = "/etc/ld.so.preload"
        $act_4 = "libsystem.so"
        $act_5 = /(curl|wget|DOWNLOAD)\b[^\n]{0,160}\/kinsing/
    condition:
        script and all of ($own_*) and 2 of ($act_*)
}

rule TeamTNT_Script
{
    meta:
        severity = "critical"
        family = "TeamTNT"
        kind = "trojan"
        description = "A script of TeamTNT, which steals cloud credentials from containers and mines Monero."
        reference = "https://attack.mitre.org/groups/G0139/"
        author = "Tallyman"
    strings:
        $name_1 = "teamtnt" nocase
        $name_2 = "hilde@" nocase
        $name_3 = "chimaera.cc"
        $name_4 = "borg.wtf"
        $act_1 = ".aws/credentials"
        $act_2 = "169.254.169.254"
        $act_3 = "masscan"
        $act_4 = "xmrig" nocase
        $act_5 = ".ssh/authorized_keys"
        $act_6 = /docker\s{1,4}-H\s/
        $act_7 = "chattr -i"
    condition:
        script and any of ($name_*) and 2 of ($act_*)
}

rule Dropper_Kills_Rivals
{
    meta:
        severity = "critical"
        family = "Dropper"
        kind = "trojan"
        description = "A script that ends other people's miners and the machine's protection, and then runs what it downloads."
        reference = "https://attack.mitre.org/techniques/T1562/001/"
        author = "Tallyman"
    strings:
        $rival = /\b(pkill|killall|kill)\b[^\n]{0,120}(kdevtmpfsi|xmrig|minerd|cryptonight|watchbog|sysrv|kworkerds|xmr-stak)/
        $guard_1 = "setenforce 0"
        $guard_2 = "ufw disable"
        $guard_3 = "iptables -F"
        $guard_4 = /\b(aliyun|AliYunDun|cloudmonitor|qcloud|YunJing|bcm-agent)/
        $guard_5 = /chattr\s{1,4}-[a-z]{0,4}i/
        $guard_6 = "crontab -r"
        $guard_7 = "HISTFILE=/dev/null"
        $guard_8 = "unset HISTFILE"
        $load_1 = /(curl|wget)\s[^\n|]{4,300}\|\s{0,4}(ba)?sh\b/
        $load_2 = /(curl|wget)\s[^\n]{4,300}\n[^\n]{0,60}chmod\s{1,4}(\+x|[0-7]{3,4})/
    condition:
        script and $rival and 2 of ($guard_*) and any of ($load_*)
}

rule Implant_Sliver
{
    meta:
        severity = "critical"
        family = "Sliver"
        kind = "trojan"
        description = "The implant of the command and control framework Sliver."
        reference = "https://attack.mitre.org/software/S0633/"
        author = "Tallyman"
    strings:
        $own_1 = "github.com/bishopfox/sliver/implant/"
        $own_2 = "sliverpb."
        $own_3 = "sliver/protobuf/sliverpb"
        $part_1 = "BeaconRegister"
        $part_2 = "RegisterExtensionReq"
        $part_3 = "ExecuteAssemblyReq"
        $part_4 = "InvokeSpawnDllReq"
        $part_5 = "BackdoorReq"
    condition:
        (elf or pe) and any of ($own_*) and 2 of ($part_*)
}

rule Implant_Cobalt_Strike
{
    meta:
        severity = "critical"
        family = "Cobalt Strike"
        kind = "trojan"
        description = "A beacon of Cobalt Strike."
        reference = "https://attack.mitre.org/software/S0154/"
        author = "Tallyman"
    strings:
        $part_1 = "beacon.dll"
        $part_2 = "beacon.x64.dll"
        $part_3 = "ReflectiveLoader"
        $part_4 = "could not create remote thread in %d: %d"
        $part_5 = "Started service %s on %s"
        $part_6 = "could not spawn %s (token): %d"
        $part_7 = "I'm already in SMB mode"
        $part_8 = "%s as %s\\%s: %d"
    condition:
        pe and 3 of ($part_*)
}

rule Implant_Mettle
{
    meta:
        severity = "critical"
        family = "Meterpreter"
        kind = "trojan"
        description = "Mettle, the Meterpreter of Metasploit for Linux."
        reference = "https://github.com/rapid7/mettle"
        author = "Tallyman"
    strings:
        $own_1 = "mettle -U \""
        $own_2 = "mettlesploit"
        $own_3 = "libmettle"
        $part_1 = "process_new: got %zd byte executable"
        $part_2 = "core_set_session_guid"
        $part_3 = "stdapi_sys_process_execute"
        $part_4 = "stdapi_fs_file_expand_path"
        $part_5 = "c2_transport"
    condition:
        elf and any of ($own_*) and any of ($part_*)
}

rule Metasploit_Stager
{
    meta:
        severity = "critical"
        family = "Meterpreter"
        kind = "trojan"
        description = "A program of a few hundred bytes that connects outwards and runs what it gets: a stager of Metasploit."
        reference = "https://www.rapid7.com/db/modules/payload/linux/x64/shell_reverse_tcp/"
        author = "Tallyman"
    strings:
        $x64_shell = { 6A 29 58 99 6A 02 5F 6A 01 5E 0F 05 48 97 48 B9 02 00 }  // socket, connect
        $x64_stage = { 6A 29 58 6A 02 5F 6A 01 5E 0F 05 48 85 C0 }
        $x64_stage_2 = { 41 5? 6A 29 58 99 6A 02 5F 6A 01 5E 0F 05 48 85 C0 }
        $x86_shell = { 31 DB F7 E3 53 43 53 6A 02 89 E1 B0 66 CD 80 }
        $x86_stage = { 31 DB F7 E3 53 43 53 6A 02 B0 66 89 E1 CD 80 97 5B 68 }
    condition:
        elf and filesize < 1KB and any of them
}

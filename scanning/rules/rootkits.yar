// What hides on a machine, and backdoors that wait.

private rule elf { condition: uint32(0) == 0x464C457F }
private rule shared_object { condition: elf and uint16(16) == 3 }

rule Rootkit_Diamorphine
{
    meta:
        severity = "critical"
        family = "Diamorphine"
        kind = "trojan"
        description = "The kernel rootkit Diamorphine."
        reference = "https://github.com/m0nad/Diamorphine"
        author = "Tallyman"
    strings:
        $name_1 = "diamorphine_secret"
        $name_2 = "diamorphine_init"
        $part_1 = "module_hide"
        $part_2 = "give_root"
        $part_3 = "is_invisible"
        $part_4 = "hacked_getdents"
        $part_5 = "hacked_kill"
    condition:
        elf and (any of ($name_*) or 4 of ($part_*))
}

rule Rootkit_Reptile
{
    meta:
        severity = "critical"
        family = "Reptile"
        kind = "trojan"
        description = "The kernel rootkit Reptile."
        reference = "https://github.com/f0rb1dd3n/Reptile"
        author = "Tallyman"
    strings:
        $name = "reptile" nocase
        $part_1 = "khook_"
        $part_2 = "is_proc_invisible"
        $part_3 = "hide_content"
        $part_4 = "file_tampering"
        $part_5 = "hidden_conns"
        $part_6 = "magic_packet_parse"
    condition:
        elf and (($name and 2 of ($part_*)) or 4 of ($part_*))
}

rule Rootkit_Jynx_Azazel
{
    meta:
        severity = "critical"
        family = "Jynx"
        kind = "trojan"
        description = "The preload rootkits Jynx2 and Azazel: a library that hides files and connections and lets its owner in."
        reference = "https://github.com/chokepoint/jynx2"
        author = "Tallyman"
    strings:
        $own_1 = "drop_suid_shell_if_env_set"
        $own_2 = "jynx2.so"
        $own_3 = "azazel_init"
        $own_4 = "forge_proc_net_tcp"
        $own_5 = "drop_dup_shell"
        $hidden = "/etc/ld.so.preload" xor(0xFE)
        $hook_1 = "readdir64"
        $hook_2 = "fdopendir"
        $hook_3 = "accept"
        $hook_4 = "__lxstat64"
    condition:
        shared_object and ((any of ($own_*) and 2 of ($hook_*)) or ($hidden and 3 of ($hook_*)))
}

rule Rootkit_Preload_Library
{
    meta:
        severity = "critical"
        family = "Preload rootkit"
        kind = "trojan"
        description = "A library that stands between programs and the system and hides files, connections and itself."
        reference = "https://attack.mitre.org/techniques/T1574/006/"
        author = "Tallyman"
    strings:
        $self = "/etc/ld.so.preload"
        $net_1 = "/proc/net/tcp"
        $net_2 = "/proc/net/tcp6"
        $resolve = "dlsym"
        $hook_1 = "readdir64"
        $hook_2 = "fopen64"
        $hook_3 = "unlinkat"
        $hook_4 = "__lxstat"
        $hook_5 = "pam_authenticate"
        $hook_6 = "getpwnam_r"
        $hook_7 = "pcap_loop"
    condition:
        shared_object and $self and any of ($net_*) and $resolve and 4 of ($hook_*)
}

rule Rootkit_Preload_File
{
    meta:
        severity = "high"
        family = "Preload rootkit"
        kind = "trojan"
        description = "A file /etc/ld.so.preload that loads a library from where no library belongs into every program."
        reference = "https://attack.mitre.org/techniques/T1574/006/"
        author = "Tallyman"
    strings:
        $odd_1 = /(^|[\s:])\/(tmp|var\/tmp|dev\/shm|root|home|usr\/include)\/[^\s:]{1,200}/
        $odd_2 = /(^|[\s:])\/[^\s:]{0,200}\/\.[^\s:\/.][^\s:]{0,200}/
    condition:
        filepath == "/etc/ld.so.preload" and filesize < 4KB and any of them
}

rule Backdoor_BPFDoor
{
    meta:
        severity = "critical"
        family = "BPFDoor"
        kind = "trojan"
        description = "The backdoor BPFDoor, which waits for a magic packet and poses as a system service."
        reference = "https://www.elastic.co/security-labs/a-peek-behind-the-bpfdoor"
        author = "Tallyman"
    strings:
        $own_1 = "/var/run/haldrund.pid"
        $own_2 = "/dev/shm/kdmtmpflush"
        $own_3 = "MYSQL_HISTFILE=/dev/null"
        $own_4 = "ttcompat"
        $own_5 = "[-] Execute command failed"
        $pose_1 = "/usr/libexec/postfix/master"
        $pose_2 = "hald-addon-acpi: listening on acpi kernel interface /proc/acpi/event"
        $pose_3 = "/sbin/udevd -d"
        $pose_4 = "qmgr -l -t fifo -u"
    condition:
        elf and (3 of ($own_*) or (any of ($own_*) and 3 of ($pose_*)))
}

rule Backdoor_XZ_Utils
{
    meta:
        severity = "critical"
        family = "XZ backdoor"
        kind = "trojan"
        description = "liblzma of xz 5.6.0 or 5.6.1 with the backdoor for OpenSSH (CVE-2024-3094)."
        reference = "https://www.openwall.com/lists/oss-security/2024/03/29/4"
        author = "Tallyman"
    strings:
        $function = {
            F3 0F 1E FA 55 48 89 F5 4C 89 CE 53 89 FB 81 E7 00 00 00 80 48 83 EC 28 48 89 54 24 18 48 89 4C 24 10
        }
    condition:
        elf and $function
}

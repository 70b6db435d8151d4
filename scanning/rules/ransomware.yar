// What encrypts other people's files on Linux machines and hypervisors.

private rule elf { condition: uint32(0) == 0x464C457F }

rule Ransomware_ESXiArgs
{
    meta:
        severity = "critical"
        family = "ESXiArgs"
        kind = "trojan"
        description = "The script of the ESXiArgs campaign, which encrypts the disks of virtual machines."
        reference = "https://www.cisa.gov/news-events/cybersecurity-advisories/aa23-039a"
        author = "Tallyman"
    strings:
        $part_1 = "esxcli --formatter=csv --format-param=fields==\"Config File\" vm process list"
        $part_2 = "How to Restore Your Files.html"
        $part_3 = "/tmp/public.pem"
        $part_4 = "/tmp/encrypt"
        $part_5 = "/usr/lib/vmware/hostd/docroot/ui/index.html"
        $part_6 = "vmsyslogd"
    condition:
        uint16(0) == 0x2123 and filesize < 256KB and 3 of ($part_*)
}

rule Ransomware_Hypervisor
{
    meta:
        severity = "critical"
        family = "ESXi ransomware"
        kind = "trojan"
        description = "A program that ends virtual machines, encrypts their disks and leaves a note (as LockBit, Black Basta, HelloKitty do)."
        reference = "https://attack.mitre.org/techniques/T1486/"
        author = "Tallyman"
    strings:
        $end_1 = /esxcli[^\n]{0,60}vm process kill/
        $end_2 = "vim-cmd vmsvc/getallvms"
        $end_3 = "vim-cmd vmsvc/power.off"
        $disk_1 = ".vmdk"
        $disk_2 = ".vmem"
        $disk_3 = ".vswp"
        $disk_4 = ".vmsn"
        $note_1 = ".onion"
        $note_2 = "files are encrypted" nocase
        $note_3 = "files have been encrypted" nocase
        $note_4 = "Restore-My-Files" nocase
    condition:
        elf and any of ($end_*) and 2 of ($disk_*) and any of ($note_*)
}

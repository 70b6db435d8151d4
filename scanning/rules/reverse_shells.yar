// Scripts that connect outwards and hand over a shell. Texts about them are left alone: it must be a script or a cron
// line, not a mention.

private rule runnable
{
    strings:
        $cron = /(^|\n)[ \t]{0,8}(@reboot|@hourly|@daily|[0-9*\/,\-]{1,20}([ \t]{1,8}[0-9*\/,\-]{1,20}){4})[ \t][^\n]{0,300}(\/dev\/tcp\/|nc |python|perl|socat )/
        $fence = "```"
    condition:
        filesize < 256KB and (uint16(0) == 0x2123 or $cron) and not $fence
}

rule Reverse_Shell_Bash
{
    meta:
        severity = "critical"
        family = "Reverse shell"
        kind = "trojan"
        description = "A script that hands a shell to another machine by bash's /dev/tcp."
        reference = "https://attack.mitre.org/techniques/T1059/004/"
        author = "Tallyman"
    strings:
        $interactive = /\b(ba|z|k|da)?sh\s{1,4}-i\s{0,4}[0-9]?>&?\s{0,4}\/dev\/(tcp|udp)\/[^\s\/]{3,100}\/\S{1,8}\s{1,4}0[<>]&1/
        $descriptor = /exec\s{1,4}[0-9]{1,3}<>\s{0,4}\/dev\/(tcp|udp)\/[^\n]{3,120}[\n;]\s{0,8}(cat|while|(ba)?sh)[^\n]{0,60}<&\s{0,2}[0-9]{1,3}[^\n]{0,200}>&\s{0,2}[0-9]{1,3}/
        $tied = /\b(ba)?sh\s{1,4}(-i\s{1,4})?<&\s{0,2}[0-9]{1,3}\s{1,4}(1)?>&\s{0,2}[0-9]{1,3}\s{1,4}2>&\s{0,2}[0-9]{1,3}/
        $dev = /\/dev\/(tcp|udp)\/[^\s\/]{3,100}\/\S{1,8}/
    condition:
        runnable and ($interactive or $descriptor or ($tied and $dev))
}

rule Reverse_Shell_Python
{
    meta:
        severity = "critical"
        family = "Reverse shell"
        kind = "trojan"
        description = "Python code that ties a shell to a network connection."
        reference = "https://attack.mitre.org/techniques/T1059/006/"
        author = "Tallyman"
    strings:
        $connect = /\.connect\s{0,4}\(\s{0,4}\(/
        $tie = /os\.dup2\s{0,4}\(\s{0,4}\w{1,20}\.fileno\(\)\s{0,4},\s{0,4}[012]\s{0,4}\)/
        $shell_1 = /pty\.spawn\s{0,4}\(\s{0,4}\[?\s{0,4}["'](\/bin\/)?(ba|z)?sh["']/
        $shell_2 = /subprocess\.(call|run|Popen)\s{0,4}\(\s{0,4}\[\s{0,4}["']\/bin\/(ba|z)?sh["']\s{0,4},\s{0,4}["']-i["']/
        $import = /\bimport\s[^\n]{0,60}\bsocket\b/
        $fence = "```"
    condition:
        filesize < 64KB and $import and $connect and #tie >= 2 and any of ($shell_*) and not $fence
}

rule Reverse_Shell_Perl
{
    meta:
        severity = "critical"
        family = "Reverse shell"
        kind = "trojan"
        description = "Perl code that ties a shell to a network connection."
        reference = "https://attack.mitre.org/techniques/T1059/"
        author = "Tallyman"
    strings:
        $socket_1 = /use\s{1,4}(IO::)?Socket\b/
        $socket_2 = "IO::Socket::INET"
        $tie = /open\s{0,4}\(?\s{0,4}STDIN\s{0,4},\s{0,4}["'][<>+]{1,2}&/
        $shell = /(exec|system)\s{0,4}[({"']{1,3}\s{0,4}["']?\/bin\/(ba)?sh\s{1,4}-i/
        $fence = "```"
    condition:
        filesize < 64KB and any of ($socket_*) and $tie and $shell and not $fence
}

rule Reverse_Shell_PHP
{
    meta:
        severity = "critical"
        family = "Reverse shell"
        kind = "trojan"
        description = "A PHP page that connects outwards and hands over a shell."
        reference = "https://pentestmonkey.net/tools/web-shells/php-reverse-shell"
        author = "Tallyman"
    strings:
        $open = "<?php" nocase
        $connect = "fsockopen("
        $process = "proc_open("
        $shell = /\/bin\/(ba)?sh -i/
        $loop = "stream_select("
        $fence = "```"
    condition:
        filesize < 64KB and $open in (0 .. 1024) and $connect and $process and $shell and $loop and not $fence
}

rule Reverse_Shell_Netcat
{
    meta:
        severity = "critical"
        family = "Reverse shell"
        kind = "trojan"
        description = "A script that hands a shell to another machine by netcat."
        reference = "https://attack.mitre.org/techniques/T1059/004/"
        author = "Tallyman"
    strings:
        $execute_1 = /\b(nc|ncat|netcat|nc\.traditional)\s{1,4}[^\n|;]{0,120}\s?-[a-z]{0,4}[ec]\s{1,4}["']?\/bin\/(ba|z|da)?sh\b/
        $execute_2 = /\bbusybox\s{1,4}nc\s{1,4}[^\n|;]{4,120}\s-e\s{1,4}(\/bin\/)?(ba)?sh\b/
        $pipe = /mkfifo\s{1,4}(\S{1,100})\s{0,4}[;&\n][^\n]{0,200}\|\s{0,4}(\/bin\/)?(ba)?sh\s{1,4}-i\s{0,4}2>&1\s{0,4}\|\s{0,4}(nc|ncat|netcat|openssl)\s/
    condition:
        runnable and any of them
}

rule Reverse_Shell_Socat
{
    meta:
        severity = "critical"
        family = "Reverse shell"
        kind = "trojan"
        description = "A script that hands a shell to another machine by socat."
        reference = "https://attack.mitre.org/techniques/T1059/004/"
        author = "Tallyman"
    strings:
        $run = /\bsocat\s[^\n]{0,160}(exec|system):["']?(\/bin\/)?(ba|z)?sh\b[^\n]{0,160}\b(tcp4?|openssl):[^\s:]{3,100}:[0-9$]/ nocase
        $back = /\bsocat\s[^\n]{0,160}\b(tcp4?|openssl):[^\s:]{3,100}:[0-9$][^\n]{0,160}(exec|system):["']?(\/bin\/)?(ba|z)?sh\b/ nocase
    condition:
        runnable and any of them
}

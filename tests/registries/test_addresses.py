"""Addresses of registries, as typed."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from registries.addresses import AddressError, normalise, origin


def clean(text: str, *, networks: tuple[str, ...] = (), plain: tuple[str, ...] = ()) -> str:
    return normalise(text, allowed_networks=networks, plain_http_hosts=plain)


@pytest.mark.parametrize(
    ("typed", "kept"),
    [
        ("https://registry.example.com", "https://registry.example.com"),
        (" https://Registry.Example.COM/ ", "https://registry.example.com"),
        ("registry.example.com:5000", "https://registry.example.com:5000"),
        ("https://registry.example.com:443/Team/docker/", "https://registry.example.com/Team/docker"),
        ("HTTPS://10.1.2.3:5000", "https://10.1.2.3:5000"),
        ("https://[2001:DB8::1]:5000", "https://[2001:db8::1]:5000"),
        ("https://bücher.example", "https://xn--bcher-kva.example"),
        ("https://registry.example.com.", "https://registry.example.com"),
    ],
)
def test_an_address_is_written_in_one_way(typed: str, kept: str) -> None:
    assert clean(typed) == kept
    assert clean(kept) == kept


@pytest.mark.parametrize(
    ("typed", "word"),
    [
        ("https://robot:secret@registry.example.com", "user and password"),
        ("https://robot@registry.example.com", "user and password"),
        ("ftp://registry.example.com", "https://"),
        ("file:///etc/passwd", "https://"),
        ("gopher://registry.example.com", "https://"),
        ("https://", "host is missing"),
        ("https:///v2", "host is missing"),
        ("https://registry.example.com/v2/", "/v2"),
        ("https://registry.example.com/a/../b", "letters"),
        ("https://registry.example.com/a?x=1", "Leave out"),
        ("https://registry.example.com/#x", "Leave out"),
        ("https://registry.example.com:99999", "not an address"),
        ("https://registry.example.com:0", "port"),
        ("https://registry example.com", "spaces"),
        ("https://registry.example.com\\@evil.example", "backslashes"),
        ("https://-x.example.com", "is not valid"),
        ("https://[fe80::1%25eth0]", "zone"),
        ("http://registry.example.com", "Plain HTTP"),
    ],
)
def test_what_is_no_address_is_refused_with_what_is_wrong(typed: str, word: str) -> None:
    with pytest.raises(AddressError, match=word):
        clean(typed)


@pytest.mark.parametrize(
    "host",
    [
        *("127.0.0.1", "127.1", "2130706433", "0x7f000001", "0x7f.1", "017700000001", "127.0.0.1.", "１２７.0.0.1"),
        *("localhost", "LOCALHOST", "localhost.", "x.localhost", "[::1]", "[::ffff:127.0.0.1]", "[::]", "0.0.0.0", "0"),
        *("169.254.169.254", "[fe80::1]", "100.100.100.200", "[fd00:ec2::254]", "metadata.google.internal"),
        *("224.0.0.1", "255.255.255.255", "[ff02::1]", "127。0。0。1"),
    ],
)
def test_this_machine_and_metadata_services_are_refused_in_every_notation(host: str) -> None:
    with pytest.raises(AddressError):
        clean(f"https://{host}:5000")


def test_a_network_that_the_operator_allows_is_taken() -> None:
    assert clean("https://127.0.0.1:5000", networks=("127.0.0.0/8",)) == "https://127.0.0.1:5000"
    assert clean("https://localhost", networks=("127.0.0.0/8",)) == "https://localhost"
    assert clean("https://[::1]", networks=("::1/128",)) == "https://[::1]"
    with pytest.raises(AddressError):
        clean("https://169.254.169.254", networks=("127.0.0.0/8", "::1/128"))


def test_plain_http_goes_only_to_hosts_that_the_operator_names() -> None:
    assert clean("http://registry.lab", plain=("registry.lab",)) == "http://registry.lab"
    assert clean("http://registry.lab:5000", plain=("registry.lab",)) == "http://registry.lab:5000"
    assert clean("http://registry.lab:5000", plain=("Registry.lab:5000",)) == "http://registry.lab:5000"
    with pytest.raises(AddressError):
        clean("http://registry.lab:5001", plain=("registry.lab:5000",))


def test_the_origin_leaves_out_the_prefix() -> None:
    assert origin("https://registry.example.com:5000/team") == "https://registry.example.com:5000"


@given(st.text(max_size=60) | st.from_regex(r"https?://[\w\.\[\]:@%/\\-]{0,40}"))
def test_anything_typed_is_an_address_or_a_plain_refusal(text: str) -> None:
    try:
        kept = clean(text)
    except AddressError:
        return
    assert clean(kept) == kept
    assert "@" not in kept

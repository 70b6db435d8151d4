"""Certificate authorities and certificates, made on the spot."""

from __future__ import annotations

import ipaddress
import ssl
import tempfile
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID


@dataclass(frozen=True)
class Certificate:
    """A certificate with its key, both PEM."""

    pem: str
    key: str

    def context(self) -> ssl.SSLContext:
        """For a server."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        with tempfile.TemporaryDirectory() as folder:
            certificate, key = self.write(Path(folder))
            context.load_cert_chain(certificate, key)
        return context

    def write(self, folder: Path) -> tuple[Path, Path]:
        """Write certificate and key into ``folder`` and return their paths."""
        certificate, key = folder / "certificate.pem", folder / "key.pem"
        certificate.write_text(self.pem)
        key.write_text(self.key)
        return certificate, key


class Authority:
    """A certificate authority of one's own."""

    def __init__(self, name: str = "Tallyman test authority") -> None:
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = _name(name)
        builder = _builder(self._name, self._name, self._key.public_key(), days=365)
        usage = x509.KeyUsage(True, False, False, False, False, True, True, False, False)
        builder = builder.add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        builder = builder.add_extension(usage, critical=True)
        builder = builder.add_extension(
            x509.SubjectKeyIdentifier.from_public_key(self._key.public_key()), critical=False
        )
        self._certificate = builder.sign(self._key, hashes.SHA256())
        self.pem = self._certificate.public_bytes(serialization.Encoding.PEM).decode()

    def issue(self, *hosts: str, days: int = 30) -> Certificate:
        """A certificate for ``hosts`` (names or addresses); negative ``days`` make one that has expired."""
        key = ec.generate_private_key(ec.SECP256R1())
        builder = _builder(_name(hosts[0]), self._name, key.public_key(), days=days)
        builder = builder.add_extension(x509.SubjectAlternativeName([_san(host) for host in hosts]), critical=False)
        issuer = x509.AuthorityKeyIdentifier.from_issuer_public_key(self._key.public_key())
        builder = builder.add_extension(issuer, critical=False)
        return _certificate(builder.sign(self._key, hashes.SHA256()), key)


def self_signed(*hosts: str) -> Certificate:
    """A certificate that vouches for itself, as appliances come with."""
    key = ec.generate_private_key(ec.SECP256R1())
    builder = _builder(_name(hosts[0]), _name(hosts[0]), key.public_key(), days=30)
    builder = builder.add_extension(x509.SubjectAlternativeName([_san(host) for host in hosts]), critical=False)
    return _certificate(builder.sign(key, hashes.SHA256()), key)


def _builder(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePublicKey, *, days: int
) -> x509.CertificateBuilder:
    now = datetime.now(UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=60))
        .not_valid_after(now + timedelta(days=days))
    )


def _certificate(certificate: x509.Certificate, key: ec.EllipticCurvePrivateKey) -> Certificate:
    encoded = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    return Certificate(certificate.public_bytes(serialization.Encoding.PEM).decode(), encoded.decode())


def _name(text: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])


def _san(host: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(host))
    except ValueError:
        return x509.DNSName(host)

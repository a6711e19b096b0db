"""What the settings of TLS say together, and the words of `tls_certificate`. Opens no file: `net.tls_contexts` does.

Imported only if a setting of TLS is given.
"""

import re
from collections.abc import Sequence
from typing import Any, NamedTuple, Protocol

from .addresses import ListenAddress
from .faults import SettingsFault

_NAMED = re.compile(r"((?:\*\.)?[A-Za-z0-9-]+(?:\.[A-Za-z0-9-]+)*)=([^,]+)(?:,(.+))?")

# They say something of certificates, so without one they have no meaning.
_OF_CERTIFICATES = ("tls_key", "tls_key_password_file", "tls_client_ca", "tls_client_certificate", "tls_ciphers")


class CertificateWord(NamedTuple):
    """A word of `tls_certificate`: `cert.pem`, or `NAME=cert.pem[,key.pem]`."""

    name: str  # lower case; empty for the default certificate
    path: str
    key_path: str | None


class TlsSettings(Protocol):
    """`Adjustments`, as far as TLS is concerned."""

    tls_certificate: list[str]
    tls_client_ca: str | None
    tls_client_certificate: str
    tls_context: Any

    @property
    def listen(self) -> Sequence[ListenAddress]:
        """Where to listen; empty with a unix socket, or with given sockets."""

    @property
    def has_tls(self) -> bool:
        """Whether there is a certificate."""

    @property
    def default_scheme(self) -> str:
        """What is spoken at an address of `listen` that does not name it."""

    @property
    def given_scheme(self) -> str:
        """What is spoken at a unix socket, or at given sockets."""


def split_certificate(word: str) -> CertificateWord:
    """Return the parts of a word of `tls_certificate`."""
    match = _NAMED.fullmatch(word)
    return CertificateWord("", word, None) if match is None else CertificateWord(match[1].lower(), match[2], match[3])


def check_tls(adj: TlsSettings, given: dict[str, Any]) -> None:
    """Check the settings of TLS against each other and against the listeners.

    Raises:
        ValueError: names the setting, and the one that is missing.
    """
    if adj.has_tls:
        if adj.tls_context is None:
            _check_certificates(adj)
        schemes = [address.scheme or adj.default_scheme for address in adj.listen] or [adj.given_scheme]
        if "https" not in schemes:
            where = "each address of {listen} is http://"
            if not adj.listen:
                where = "a unix socket and given sockets speak TLS only with {url_scheme}=https"
            raise no_listener(adj, where)
        return
    for name in _OF_CERTIFICATES:
        if given.get(name) and getattr(adj, name) != getattr(type(adj), name):
            raise SettingsFault(f"{{{name}}} has no meaning without {{tls_certificate}}")


def no_listener(adj: TlsSettings, reason: str) -> SettingsFault:
    """Return the error that there is a certificate, and no listener that speaks TLS."""
    name = "tls_certificate" if adj.tls_context is None else "tls_context"
    return SettingsFault(f"{{{name}}} has no meaning without a listener that speaks TLS: {reason}")


def _check_certificates(adj: TlsSettings) -> None:
    names = [split_certificate(word).name for word in adj.tls_certificate]
    if names.count("") != 1:
        raise SettingsFault(
            "{tls_certificate}={given!r}: expected exactly one certificate without NAME=, which is for clients that "
            "ask for another name, or for none",
            given=" ".join(adj.tls_certificate),
        )
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise SettingsFault(
            "{tls_certificate}={given!r}: two certificates for {name}",
            given=" ".join(adj.tls_certificate),
            name=twice,
        )
    if adj.tls_client_certificate != "none" and adj.tls_client_ca is None:
        raise SettingsFault(
            "{tls_client_certificate}={word} has no meaning without {tls_client_ca}, the CAs that issue the accepted "
            "certificates",
            word=adj.tls_client_certificate,
        )
    if adj.tls_client_ca is not None and adj.tls_client_certificate == "none":
        raise SettingsFault(
            "{tls_client_ca} has no meaning with {tls_client_certificate}=none: set optional or required"
        )

"""What the handshake of one connection has found out, by the names that applications know from Apache's mod_ssl.

Made once for each connection, when something asks for it first. Knows no socket.
"""

import ssl
from typing import Any, NamedTuple

# The short names of RFC 4514 section 3, and emailAddress, which Apache and OpenSSL write in full.
_SHORT = {
    "commonName": "CN",
    "localityName": "L",
    "stateOrProvinceName": "ST",
    "organizationName": "O",
    "organizationalUnitName": "OU",
    "countryName": "C",
    "streetAddress": "STREET",
    "domainComponent": "DC",
    "userId": "UID",
}
_ESCAPED = str.maketrans({character: f"\\{character}" for character in '\\,+"<>;'} | {"\0": "\\00"})  # RFC 4514 2.4


class TlsInfo(NamedTuple):
    """The TLS of one connection."""

    version: str  # "TLSv1.3"
    cipher: str
    client_dn: str | None  # subject of the client's certificate; None without one
    environ: dict[str, str]  # what each of its requests has besides HTTPS


def read_session(session: ssl.SSLObject, server_name: str, *, asks_client: bool) -> TlsInfo:
    """Return what is known after a handshake; `asks_client` says whether clients are asked for a certificate."""
    cipher = session.cipher()
    version, suite = session.version() or "", "" if cipher is None else cipher[0]
    environ = {"SSL_PROTOCOL": version, "SSL_CIPHER": suite, "SSL_CLIENT_VERIFY": "NONE"}
    if server_name:
        environ["SSL_SERVER_NAME"] = server_name
    client_dn = None
    if asks_client:
        der, fields = session.getpeercert(binary_form=True), session.getpeercert()
        if der and fields:  # the handshake has checked it
            client_dn = as_text(fields.get("subject", ()))
            environ["SSL_CLIENT_VERIFY"] = "SUCCESS"
            environ["SSL_CLIENT_S_DN"] = client_dn
            environ["SSL_CLIENT_I_DN"] = as_text(fields.get("issuer", ()))
            environ["SSL_CLIENT_SERIAL"] = str(fields.get("serialNumber", ""))
            environ["SSL_CLIENT_CERT"] = ssl.DER_cert_to_PEM_cert(der)
    return TlsInfo(version, suite, client_dn, environ)


def as_text(name: Any) -> str:
    """Return a name as `ssl` gives it (a tuple of RDNs, each a tuple of pairs) as text: `CN=a,O=b` (RFC 4514)."""
    rdns = ["+".join(f"{_short(kind)}={_escaped(value)}" for kind, value in rdn) for rdn in name]
    # RFC 4514 2.1: the last one comes first. PEP 3333: an environ has no characters beyond latin-1.
    return ",".join(reversed(rdns)).encode("utf-8").decode("latin-1")


def _short(kind: str) -> str:
    try:
        return _SHORT[kind]
    except KeyError:
        return kind


def _escaped(value: str) -> str:
    text = value.translate(_ESCAPED)
    if text[:1] in (" ", "#"):
        text = "\\" + text
    return text[:-1] + "\\ " if len(value) > 1 and value.endswith(" ") else text

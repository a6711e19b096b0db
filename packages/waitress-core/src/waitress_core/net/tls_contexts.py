"""The certificates of a server that speaks TLS: loaded when it is made, again by `reload`, watched for their expiry.

From the settings come one `ssl.SSLContext` for each certificate, the default one and those of single names, all with
the same rules: TLS 1.2 or 1.3, no renegotiation, no compression, and for 1.2 only suites with forward secrecy and
authenticated encryption, of those that the system's policy allows. Of these the client chooses.

A connection keeps the context with which its handshake has started; a reload is for new connections.

Thread: what `opener` returns, the leader; all else any, one at a time.
"""

import calendar
import logging
import os
import re
import socket
import ssl
import time
from collections.abc import Callable
from typing import Any, NamedTuple

from ..config.adjustments import Adjustments
from ..config.faults import SettingsFault
from ..config.tls import split_certificate
from ..safe_logger import SafeLogger
from .tls import READ_BYTES, Session, TlsTransport

logger = SafeLogger(logging.getLogger("waitress"))

EXPIRY_WARNING_SECONDS = 14 * 86400.0
DAY_SECONDS = 86400.0  # between two warnings of the same certificate
MAX_FILE_BYTES = 16 * 1024 * 1024  # of a file in PEM form: one with all the authorities that browsers trust has 0.2 MiB

_WITH_ECDHE = ("ECDHE-ECDSA-", "ECDHE-RSA-")  # names of suites with forward secrecy, which need a certificate
_VERSIONS = {"1.2": ssl.TLSVersion.TLSv1_2, "1.3": ssl.TLSVersion.TLSv1_3}
_VERIFY_MODES = {"none": ssl.CERT_NONE, "optional": ssl.CERT_OPTIONAL, "required": ssl.CERT_REQUIRED}
_CERTIFICATE = re.compile(rb"-----BEGIN CERTIFICATE-----.*?-----END CERTIFICATE-----", re.DOTALL)


class _Certificate(NamedTuple):
    """One certificate of the settings; `name` is the server name that it is for, empty for the default one."""

    name: str
    path: str
    key_path: str | None  # None: the key is in the same file
    key_setting: str


class _Loaded(NamedTuple):
    """What was loaded at once."""

    default: ssl.SSLContext
    by_name: dict[str, ssl.SSLContext]
    expiries: list[tuple[str, float]]  # path of a certificate, and when it expires, seconds since the epoch


class TlsContexts:
    """The contexts of one server."""

    def __init__(self, adj: Adjustments, wall_clock: Callable[[], float] = time.time) -> None:
        """Raises ValueError: names the setting, the file and the cause."""
        self._adj = adj
        self._wall_clock = wall_clock
        # The working directory may be another at a reload.
        self._certificates = [_certificate(word, adj) for word in adj.tls_certificate]
        self._loaded = self._load()  # replaced as a whole
        # The first tick warns, not this: contexts are also made only to check the settings, for example at a reload.
        self._check_expiries_at = 0.0

    def opener(self) -> Callable[[socket.socket], TlsTransport]:
        """Return what makes the transport of a client, for the leader of one run: its transports share a buffer."""
        arrived = memoryview(bytearray(READ_BYTES))
        return lambda accepted: TlsTransport(accepted, self._loaded.default, arrived)

    def reload(self) -> None:
        """Read certificates, keys and CAs again; what cannot be loaded is logged, and everything stays as it was."""
        try:
            self._loaded = self._load()
        except Exception as error:  # ValueError, or whatever a program's callable raises
            logger.error("TLS certificates not reloaded, the previous ones stay in use: %s", error)
        else:
            logger.info("TLS certificates reloaded")
        self._check_expiries_at = 0.0
        self.check_expiries()

    def leave_warnings(self) -> None:
        """Warn of no certificate any more: another process does."""
        self._check_expiries_at = float("inf")

    def check_expiries(self) -> None:
        """Warn of certificates that expire soon, or have expired; once a day, however often it is called."""
        now = self._wall_clock()
        if now < self._check_expiries_at:
            return
        self._check_expiries_at = now + DAY_SECONDS
        for path, expires_at in self._loaded.expiries:
            left, date = expires_at - now, time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime(expires_at))
            if left <= 0:
                logger.warning("tls_certificate: %s has expired, on %s", path, date)
            elif left <= EXPIRY_WARNING_SECONDS:
                logger.warning("tls_certificate: %s expires in %d day(s), on %s", path, left // DAY_SECONDS, date)

    # --- loading

    def _load(self) -> _Loaded:
        given = self._adj.tls_context
        if given is not None:
            context = given() if callable(given) else given
            if not isinstance(context, ssl.SSLContext):
                raise SettingsFault(
                    "{tls_context}={given!r}: expected an ssl.SSLContext, or a callable that returns one", given=given
                )
            if context.sni_callback is None:
                _note_server_names(context, {})
            else:
                _call_at_server_name(context, context.sni_callback)
            return _Loaded(context, {}, [])
        expiries = []
        contexts: dict[str, ssl.SSLContext] = {}
        for certificate in self._certificates:
            context = contexts[certificate.name] = self._new_context()
            expiries.append((certificate.path, self._load_certificate(context, certificate)))
        default = contexts.pop("")
        _note_server_names(default, contexts)
        return _Loaded(default, contexts, expiries)

    def _new_context(self) -> ssl.SSLContext:
        adj = self._adj
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = _VERSIONS[adj.tls_minimum_version]
        context.options |= ssl.OP_NO_COMPRESSION | ssl.OP_NO_RENEGOTIATION
        if adj.tls_ciphers:
            context.options |= ssl.OP_CIPHER_SERVER_PREFERENCE
        else:
            # All suites are strong, so the client chooses, which knows whether its processor has AES: as in Mozilla's
            # intermediate profile. Browsers choose AES-128 with SHA-256, a handshake of which costs 4.6 % less.
            context.options &= ~ssl.OP_CIPHER_SERVER_PREFERENCE
        # OpenSSL's default is two, Go's servers send one. The second was 6 % of the instructions of a connection.
        context.num_tickets = 1
        context.set_alpn_protocols(["http/1.1"])
        try:
            context.set_ciphers(adj.tls_ciphers or _strong_ciphers(context))
        except ssl.SSLError as error:
            raise _fault("tls_ciphers", adj.tls_ciphers, _words(error)) from None
        if adj.tls_client_ca is not None:
            path = adj.tls_client_ca
            found = _CERTIFICATE.findall(_read("tls_client_ca", path))
            if not found:
                raise _fault("tls_client_ca", path, "it has no certificate in PEM form")
            try:
                context.load_verify_locations(cadata=b"\n".join(found).decode("latin-1"))
            except (ssl.SSLError, ValueError) as error:
                raise _fault("tls_client_ca", path, _words(error)) from None
            context.verify_mode = _VERIFY_MODES[adj.tls_client_certificate]
        return context

    def _load_certificate(self, context: ssl.SSLContext, certificate: _Certificate) -> float:
        """Load a certificate and its key; return when it expires."""
        _, path, key_path, key_setting = certificate
        found = _CERTIFICATE.search(_read("tls_certificate", path))
        if found is None:
            raise _fault("tls_certificate", path, "it has no certificate in PEM form")
        key = _read(key_setting, key_path or path)
        if b"PRIVATE KEY-----" not in key:
            if key_path is None:
                remedy = "write NAME=CERTIFICATE,KEY" if certificate.name else "name the file of the key in {tls_key}"
                text = f"{{tls_certificate}}={{path!r}}: it has no private key; add it there, or {remedy}"
                raise SettingsFault(text, path=path)
            raise _fault(key_setting, key_path, "it has no private key in PEM form")
        named = f"{{{key_setting}}}={{key!r}}"
        key_file = key_path or path
        is_encrypted = b"ENCRYPTED" in key
        password = b""  # never None: OpenSSL would ask for it on the terminal
        if is_encrypted:
            if self._adj.tls_key_password_file is None:
                raise SettingsFault(
                    f"{named}: the key is encrypted, and {{tls_key_password_file}} is not set", key=key_file
                )
            password = _read("tls_key_password_file", self._adj.tls_key_password_file).rstrip(b"\r\n")
        try:
            expiry = expires_at(ssl.PEM_cert_to_DER_cert(found[0].decode("ascii")))
        except (ValueError, IndexError):
            raise _fault("tls_certificate", path, "the certificate cannot be read") from None
        try:
            context.load_cert_chain(path, key_path, password)
        except (OSError, ValueError) as error:  # SSLError is an OSError
            reason = getattr(error, "reason", None) or ""
            if "MISMATCH" in reason or reason == "NO_CERTIFICATE_ASSIGNED":  # a key of another algorithm
                text = f"{named}: it is not the key of {{tls_certificate}}={{path!r}}"
                raise SettingsFault(text, key=key_file, path=path) from None
            if is_encrypted:
                text = f"{named}: {{tls_key_password_file}}={{password!r}} does not open it"
                raise SettingsFault(text, key=key_file, password=self._adj.tls_key_password_file) from None
            text = f"{{tls_certificate}}={{path!r}}, with {named}: {{reason}}"
            raise SettingsFault(text, path=path, key=key_file, reason=_words(error)) from None
        return expiry


def _certificate(word: str, adj: Adjustments) -> _Certificate:
    """Return what a word of `tls_certificate` means: `cert.pem`, or `NAME=cert.pem[,key.pem]`."""
    name, path, key_path = split_certificate(word)
    if name:
        return _Certificate(name, os.path.abspath(path), key_path and os.path.abspath(key_path), "tls_certificate")
    key = adj.tls_key
    return _Certificate(
        "", os.path.abspath(path), key and os.path.abspath(key), "tls_key" if key else "tls_certificate"
    )


def _read(setting: str, path: str) -> bytes:
    try:
        with open(path, "rb") as file:
            data = file.read(MAX_FILE_BYTES + 1)
    except OSError as error:
        raise _fault(setting, path, error.strerror or str(error)) from None
    if len(data) > MAX_FILE_BYTES:  # a device, for example
        raise _fault(setting, path, f"it is larger than {MAX_FILE_BYTES >> 20} MiB")
    return data


def _fault(setting: str, given: str | None, reason: str) -> SettingsFault:
    return SettingsFault(f"{{{setting}}}={{given!r}}: {{reason}}", given=given, reason=reason)


def _words(error: Exception) -> str:
    """Return OpenSSL's reason in words: `no cipher match`."""
    reason = getattr(error, "reason", None)
    if reason:
        return str(reason).replace("_", " ").lower()
    text = str(error.args[-1] if error.args else error).rstrip(".")
    return "one of them cannot be read" if "PEM lib" in text else text


def _strong_ciphers(context: ssl.SSLContext) -> str:
    """Return the suites of TLS 1.2 that the system allows and that Mozilla's intermediate profile has, by its rule."""
    names = [
        str(cipher["name"])
        for cipher in context.get_ciphers()
        # By the name: on PyPy, what says how keys are exchanged is no string.
        if cipher["protocol"] == "TLSv1.2" and cipher.get("aead") and cipher["name"].startswith(_WITH_ECDHE)
    ]
    return ":".join(names) or "DEFAULT"


def _note_server_names(context: ssl.SSLContext, by_name: dict[str, ssl.SSLContext]) -> None:
    """Make each session note the name that its client asks for, and use the certificate of that name."""

    def choose(session: ssl.SSLObject, name: str | None, context: ssl.SSLContext) -> None:
        if name is None:
            return
        name = name.lower().rstrip(".")
        if isinstance(session, Session):
            session.server_name = name
        chosen = by_name.get(name) or by_name.get("*." + name.partition(".")[2])
        if chosen is not None:
            session.context = chosen

    context.sslobject_class = Session
    _call_at_server_name(context, choose)


def _call_at_server_name(context: ssl.SSLContext, callback: Callable[..., Any]) -> None:
    """Set `sni_callback` of a context, as the standard library defines it.

    gevent's contexts wrap the callback in one that fails for all sessions without a socket, which are what we have.
    """
    for kind in reversed(type(context).__mro__):
        if "sni_callback" in vars(kind):
            vars(kind)["sni_callback"].__set__(context, callback)
            return


# --- the date in a certificate, which `ssl` gives of peers only


def expires_at(der: bytes) -> float:
    """Return notAfter of a certificate (RFC 5280 4.1), in seconds since the epoch. Raises ValueError, IndexError."""
    start, _ = _contents(der, 0)  # Certificate
    start, _ = _contents(der, start)  # tbsCertificate
    if der[start] == 0xA0:  # version
        _, start = _contents(der, start)
    for _ in range(3):  # serialNumber, signature, issuer
        _, start = _contents(der, start)
    start, _ = _contents(der, start)  # validity
    _, start = _contents(der, start)  # notBefore
    has_century = der[start] == 0x18  # GeneralizedTime; otherwise UTCTime, of 1950 to 2049
    start, end = _contents(der, start)
    return calendar.timegm(
        time.strptime(der[start:end].decode("ascii"), "%Y%m%d%H%M%SZ" if has_century else "%y%m%d%H%M%SZ")
    )


def _contents(der: bytes, at: int) -> tuple[int, int]:
    """Return where the contents of the value at a position start and end (X.690 8.1)."""
    length, start = der[at + 1], at + 2
    if length & 0x80:
        size = length & 0x7F
        length, start = int.from_bytes(der[start : start + size], "big"), start + size
    return start, start + length

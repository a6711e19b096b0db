"""The certificates of a server: loaded, refused with the setting, the file and the cause, reloaded, watched."""

import contextlib
import datetime
import errno
import logging
import os
import shutil
import ssl
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.support.certificates import authority, authority_file, client_context, client_file, server_file
from tests.support.pairs import tcp_pair
from tests.support.tls_peer import TlsPeer
from waitress_core import Adjustments
from waitress_core.net.tls_contexts import DAY_SECONDS, MAX_FILE_BYTES, TlsContexts, expires_at

Refused = tuple[dict[str, str], str]


def made(**settings: Any) -> TlsContexts:
    return TlsContexts(Adjustments(listen="127.0.0.1:0", **settings))


def certificate_of(contexts: TlsContexts, server_name: str = "localhost") -> bytes:
    """Return the certificate, in DER form, that a client is shown that asks for this name."""
    accepted, client = tcp_pair()
    transport = contexts.opener()(accepted)
    context = client_context()
    context.check_hostname = False
    peer = TlsPeer(client, transport.handshake, context=context, server_name=server_name)
    with client, contextlib.closing(transport):
        peer.shake_hands()
        der = peer.session.getpeercert(binary_form=True)
    assert der is not None
    return der


def der_of(path: str) -> bytes:
    """Return the first certificate of a file in DER form."""
    text = Path(path).read_text("ascii")
    end = "-----END CERTIFICATE-----"
    return ssl.PEM_cert_to_DER_cert(text[text.index("-----BEGIN CERTIFICATE-----") : text.index(end) + len(end)] + "\n")


# --- bad input


@pytest.fixture
def files(tmp_path: Path) -> dict[str, str]:
    """Files by name: good ones, and bad ones of each kind."""
    cryptography = pytest.importorskip("cryptography.hazmat.primitives.serialization")
    issued, other = authority().issue_cert("localhost"), authority().issue_cert("other.example")
    key = cryptography.load_pem_private_key(issued.private_key_pem.bytes(), None)
    locked = key.private_bytes(
        cryptography.Encoding.PEM, cryptography.PrivateFormat.PKCS8, cryptography.BestAvailableEncryption(b"word")
    )
    rsa_key = pytest.importorskip("cryptography.hazmat.primitives.asymmetric.rsa").generate_private_key(65537, 2048)
    contents = {
        "cert": issued.cert_chain_pems[0].bytes(),
        "key": issued.private_key_pem.bytes(),
        "otherkey": other.private_key_pem.bytes(),
        "locked": locked,
        "empty": b"",
        "word": b"word\n",
        "wrong": b"other\n",
        "broken": b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
        "brokenkey": b"-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n",
        "rsakey": rsa_key.private_bytes(
            cryptography.Encoding.PEM, cryptography.PrivateFormat.PKCS8, cryptography.NoEncryption()
        ),
        "endless": bytes(MAX_FILE_BYTES + 1),
    }
    paths = {name: str(tmp_path / name) for name in [*contents, "missing", "folder"]}
    for name, content in contents.items():
        (tmp_path / name).write_bytes(content)
    (tmp_path / "folder").mkdir()
    return paths


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"tls_certificate": "missing", "tls_key": "key"}, "tls_certificate={missing}: No such file or directory"),
        ({"tls_certificate": "cert", "tls_key": "missing"}, "tls_key={missing}: No such file or directory"),
        ({"tls_certificate": "folder"}, "tls_certificate={folder}: {cause_of_folder}"),
        ({"tls_certificate": "cert", "tls_key": "folder"}, "tls_key={folder}: {cause_of_folder}"),
        ({"tls_certificate": "empty"}, "tls_certificate={empty}: it has no certificate in PEM form"),
        (
            {"tls_certificate": "cert"},
            "tls_certificate={cert}: it has no private key; add it there, or name the file of the key in tls_key",
        ),
        (
            {"tls_certificate": "cert", "tls_key": "cert"},
            "tls_key={cert}: it has no private key in PEM form",
        ),
        (
            {"tls_certificate": "cert", "tls_key": "otherkey"},
            "tls_key={otherkey}: it is not the key of tls_certificate={cert}",
        ),
        (
            {"tls_certificate": "cert", "tls_key": "locked"},
            "tls_key={locked}: the key is encrypted, and tls_key_password_file is not set",
        ),
        (
            {"tls_certificate": "cert", "tls_key": "locked", "tls_key_password_file": "wrong"},
            "tls_key={locked}: tls_key_password_file={wrong} does not open it",
        ),
        (
            {"tls_certificate": "cert", "tls_key": "locked", "tls_key_password_file": "missing"},
            "tls_key_password_file={missing}: No such file or directory",
        ),
        (
            {"tls_certificate": "cert", "tls_key": "key", "tls_client_ca": "empty"},
            "tls_client_ca={empty}: it has no certificate in PEM form",
        ),
        (
            {"tls_certificate": "cert", "tls_key": "key", "tls_client_ca": "missing"},
            "tls_client_ca={missing}: No such file or directory",
        ),
        ({"tls_certificate": "cert", "tls_key": "key", "tls_client_ca": "broken"}, "tls_client_ca={broken}: "),
        ({"tls_certificate": "broken", "tls_key": "key"}, "tls_certificate={broken}: the certificate cannot be read"),
        (
            {"tls_certificate": "cert", "tls_key": "brokenkey"},
            "tls_certificate={cert}, with tls_key={brokenkey}: one of them cannot be read",
        ),
        (
            {"tls_certificate": "cert", "tls_key": "rsakey"},
            "tls_key={rsakey}: it is not the key of tls_certificate={cert}",
        ),
        ({"tls_certificate": "cert", "tls_key": "endless"}, "tls_key={endless}: it is larger than 16 MiB"),
    ],
    ids=lambda value: "-".join(value.values()) if isinstance(value, dict) else "",
)
def test_what_cannot_be_loaded_is_named_with_its_setting_and_cause(
    settings: dict[str, str], message: str, files: dict[str, str]
) -> None:
    given = {name: files[word] for name, word in settings.items()}
    if "tls_client_ca" in given:
        given["tls_client_certificate"] = "required"
    with pytest.raises(ValueError) as caught:
        made(**given)
    text = str(caught.value)
    cause_of_folder = os.strerror(errno.EACCES if sys.platform == "win32" else errno.EISDIR)
    quoted = {name: repr(path) for name, path in files.items()}
    assert text.startswith(message.format(**quoted, cause_of_folder=cause_of_folder))
    assert "\n" not in text


def test_a_certificate_for_a_name_has_its_key_after_a_comma(files: dict[str, str]) -> None:
    with pytest.raises(ValueError, match=r"it has no private key; add it there, or write NAME=CERTIFICATE,KEY$"):
        made(tls_certificate=[server_file(), f"shop.example.org={files['cert']}"])


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may read everything")
def test_a_file_that_may_not_be_read_is_named(files: dict[str, str]) -> None:
    Path(files["key"]).chmod(0)
    with pytest.raises(ValueError, match=r"^tls_key='.*key': Permission denied$"):
        made(tls_certificate=files["cert"], tls_key=files["key"])


def test_ciphers_that_openssl_refuses_are_named() -> None:
    with pytest.raises(ValueError, match=r"^tls_ciphers='NO-SUCH': [Nn]o cipher"):
        made(tls_certificate=server_file(), tls_ciphers="NO-SUCH")


def test_a_key_can_be_encrypted_and_its_password_in_a_file(files: dict[str, str]) -> None:
    contexts = made(tls_certificate=files["cert"], tls_key=files["locked"], tls_key_password_file=files["word"])
    assert certificate_of(contexts) == der_of(files["cert"])


# --- what is spoken


def test_only_suites_with_forward_secrecy_and_authentication_are_offered_by_default() -> None:
    names = {cipher["name"] for cipher in made(tls_certificate=server_file())._loaded.default.get_ciphers()}
    of_1_2 = {name for name in names if not name.startswith("TLS_")}
    assert of_1_2
    assert all(name.startswith("ECDHE-") and ("GCM" in name or "CHACHA20" in name) for name in of_1_2)


def test_ciphers_and_version_are_those_of_the_settings() -> None:
    context = made(
        tls_certificate=server_file(), tls_ciphers="ECDHE-ECDSA-AES128-GCM-SHA256", tls_minimum_version="1.3"
    )._loaded.default
    names = {cipher["name"] for cipher in context.get_ciphers()}
    assert {name for name in names if not name.startswith("TLS_")} == {"ECDHE-ECDSA-AES128-GCM-SHA256"}
    assert context.minimum_version is ssl.TLSVersion.TLSv1_3


AES_128, AES_256 = "ECDHE+AESGCM+AES128", "ECDHE+AESGCM+AES256"


@pytest.mark.parametrize(
    ("of_client", "of_server", "chosen"),
    [
        ([AES_128, AES_256], None, "AES128"),
        ([AES_256, AES_128], None, "AES256"),
        ([AES_128, AES_256], [AES_256, AES_128], "AES256"),
        ([AES_256, AES_128], [AES_128, AES_256], "AES128"),
    ],
    ids=["client-128", "client-256", "given-256", "given-128"],
)
def test_the_client_chooses_the_suite_unless_a_setting_has_an_order(
    of_client: list[str], of_server: list[str] | None, chosen: str
) -> None:
    context = client_context()
    context.maximum_version = ssl.TLSVersion.TLSv1_2  # `ssl` orders no suites of 1.3
    context.set_ciphers(":".join(of_client))
    contexts = made(tls_certificate=server_file(), tls_ciphers=of_server and ":".join(of_server))
    accepted, client = tcp_pair()
    transport = contexts.opener()(accepted)
    with client, contextlib.closing(transport):
        TlsPeer(client, transport.handshake, context=context).shake_hands()
        info = transport.tls
    assert info is not None
    assert chosen in info.cipher


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("shop.example", "shop.example"),
        ("SHOP.example", "shop.example"),
        ("a.wild.example", "*.wild.example"),
        ("a.b.wild.example", "localhost"),
        ("wild.example", "localhost"),
        ("other.example", "localhost"),
    ],
)
def test_a_client_is_shown_the_certificate_of_the_name_that_it_asks_for(name: str, expected: str) -> None:
    paths = {"localhost": server_file(), **{name: server_file(name) for name in ("shop.example", "*.wild.example")}}
    words = [paths["localhost"], *(f"{name}={path}" for name, path in paths.items() if name != "localhost")]
    assert certificate_of(made(tls_certificate=words), name) == der_of(paths[expected])


def test_a_named_certificate_may_have_its_key_in_its_own_file(files: dict[str, str]) -> None:
    contexts = made(tls_certificate=f"{server_file()} it.example={files['cert']},{files['key']}")
    assert certificate_of(contexts, "it.example") == der_of(files["cert"])
    with pytest.raises(ValueError, match="it is not the key of"):
        made(tls_certificate=f"{server_file()} it.example={files['cert']},{files['otherkey']}")


@pytest.mark.parametrize("is_callable", [False, True], ids=["context", "callable"])
def test_a_context_of_the_program_wins(is_callable: bool) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(server_file("own.example"))
    given = (lambda: context) if is_callable else context
    contexts = made(tls_context=given, tls_certificate="no-such-file")
    assert certificate_of(contexts) == der_of(server_file("own.example"))


@pytest.mark.parametrize("is_own", [False, True], ids=["the-server's-callback", "the-program's-callback"])
def test_a_context_class_that_wraps_callbacks_is_worked_around(is_own: bool) -> None:
    """gevent's is one: its wrapper asks the session for its socket."""
    names = []

    class Wrapping(ssl.SSLContext):
        _callback = None

        @property
        def sni_callback(self) -> Any:
            return self._callback

        @sni_callback.setter
        def sni_callback(self, callback: Any) -> None:
            self._callback = callback
            standard: Any = ssl.SSLContext.sni_callback
            standard.__set__(self, lambda session, *rest: callback(session.socket, *rest))

    context = Wrapping(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(server_file())
    if is_own:
        context.sni_callback = lambda session, name, context: names.append(name)
    contexts = made(tls_context=context)
    assert certificate_of(contexts) == der_of(server_file())
    assert names == (["localhost"] if is_own else [])


def test_a_callable_that_gives_no_context_is_refused() -> None:
    with pytest.raises(ValueError, match=r"tls_context=.*expected an ssl\.SSLContext"):
        made(tls_context=lambda: None)


# --- reload


def test_a_reload_is_for_new_connections(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "waitress")
    path = tmp_path / "cert.pem"
    shutil.copy(server_file(), path)
    contexts = made(tls_certificate=path)
    shutil.copy(server_file("new.example"), path)
    assert certificate_of(contexts) == der_of(server_file())
    contexts.reload()
    assert certificate_of(contexts) == der_of(server_file("new.example"))
    assert caplog.messages == ["TLS certificates reloaded"]


def test_what_does_not_load_again_is_logged_and_the_old_one_stays(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "waitress")
    path = tmp_path / "cert.pem"
    shutil.copy(server_file(), path)
    contexts = made(tls_certificate=path)
    path.unlink()
    contexts.reload()
    assert certificate_of(contexts) == der_of(server_file())
    (record,) = caplog.records
    assert record.levelname == "ERROR"
    assert record.getMessage() == (
        "TLS certificates not reloaded, the previous ones stay in use: "
        f"tls_certificate={str(path)!r}: No such file or directory"
    )


def test_a_callable_is_called_again_and_may_fail(caplog: pytest.LogCaptureFixture) -> None:
    calls: list[int] = []

    def make() -> ssl.SSLContext:
        calls.append(1)
        if len(calls) > 1:
            raise RuntimeError("the vault is closed")
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(server_file())
        return context

    contexts = made(tls_context=make)
    contexts.reload()
    assert "the vault is closed" in caplog.text
    assert certificate_of(contexts) == der_of(server_file())


# --- expiry


@pytest.fixture
def expiring() -> Callable[[datetime.timedelta], str]:
    def make(left: datetime.timedelta) -> str:
        now = datetime.datetime.now(datetime.timezone.utc)
        return server_file(not_before=now - datetime.timedelta(days=400), not_after=now + left)

    return make


@pytest.mark.parametrize(
    ("left", "text"),
    [
        (datetime.timedelta(days=15), None),
        (datetime.timedelta(days=13, minutes=5), "expires in 13 day(s), on 20"),
        (datetime.timedelta(days=-1), "has expired, on 20"),
    ],
    ids=["later", "soon", "past"],
)
def test_a_certificate_that_expires_is_a_warning_once_a_day_and_at_each_reload(
    left: datetime.timedelta,
    text: str | None,
    expiring: Callable[[datetime.timedelta], str],
    caplog: pytest.LogCaptureFixture,
) -> None:
    now = [datetime.datetime.now().timestamp()]
    path = expiring(left)
    adj = Adjustments(listen="127.0.0.1:0", tls_certificate=path)
    contexts = TlsContexts(adj, wall_clock=lambda: now[0])
    assert caplog.messages == []  # whoever only checks the settings, as a reload and `--check` do, does not warn
    contexts.check_expiries()
    if text is None:
        assert caplog.messages == []
        now[0] += DAY_SECONDS + 60
        contexts.check_expiries()
        assert len(caplog.messages) == 1
        return
    (message,) = caplog.messages
    assert message.startswith(f"tls_certificate: {path} {text}")
    contexts.check_expiries()
    assert len(caplog.messages) == 1
    contexts.reload()
    assert len(caplog.messages) == 2
    now[0] += DAY_SECONDS
    contexts.check_expiries()
    assert len(caplog.messages) == 3


@pytest.mark.parametrize("year", [2049, 2050, 2150])
def test_the_date_is_read_in_both_forms(year: int) -> None:
    end = datetime.datetime(year, 3, 4, 5, 6, 7, tzinfo=datetime.timezone.utc)
    assert expires_at(der_of(server_file(not_after=end))) == end.timestamp()


# --- certificates of clients


@pytest.mark.parametrize("asked", ["none", "optional", "required"])
@pytest.mark.parametrize("shown", [False, True], ids=["anonymous", "ada"])
def test_a_client_certificate_is_checked_and_named(asked: str, shown: bool) -> None:
    settings = {} if asked == "none" else {"tls_client_ca": authority_file(), "tls_client_certificate": asked}
    contexts = made(tls_certificate=server_file(), **settings)
    context = client_context(client_file() if shown else None)  # before the sockets: it may skip the test
    context.maximum_version = ssl.TLSVersion.TLSv1_2  # where the client waits for the server's answer
    accepted, client = tcp_pair()
    transport = contexts.opener()(accepted)
    with client, contextlib.closing(transport):
        peer = TlsPeer(client, transport.handshake, context=context)
        if asked == "required" and not shown:
            with pytest.raises(Exception, match="peer did not return a certificate"):
                peer.shake_hands()
            return
        peer.shake_hands()
        info = transport.tls
    assert info is not None
    environ = info.environ
    if asked != "none" and shown:
        assert info.client_dn is not None
        assert info.client_dn.endswith("O=Engines\\, Ltd")
        assert info.client_dn.startswith("CN=Ada Lovelace,")
        assert environ["SSL_CLIENT_S_DN"] == info.client_dn
        assert environ["SSL_CLIENT_VERIFY"] == "SUCCESS"
        assert environ["SSL_CLIENT_I_DN"].startswith("OU=Testing CA #")
        assert int(environ["SSL_CLIENT_SERIAL"], 16)
        assert ssl.PEM_cert_to_DER_cert(environ["SSL_CLIENT_CERT"]) == der_of(client_file())
    else:
        assert info.client_dn is None
        assert environ["SSL_CLIENT_VERIFY"] == "NONE"
        assert not {name for name in environ if name.startswith("SSL_CLIENT_")} - {"SSL_CLIENT_VERIFY"}

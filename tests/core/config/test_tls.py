"""What the settings of TLS say together."""

import socket
import ssl
from typing import Any

import pytest

from waitress_core import Adjustments
from waitress_core.config.tls import split_certificate

HERE = "127.0.0.1:0"
WITHOUT = "has no meaning without"
GIVEN = "a unix socket and given sockets speak TLS only with url_scheme=https"
ONE_DEFAULT = (
    "expected exactly one certificate without NAME=, which is for clients that ask for another name, or for none"
)
PEM = {"tls_certificate": "cert.pem"}


@pytest.mark.parametrize(
    ("word", "parts"),
    [
        ("cert.pem", ("", "cert.pem", None)),
        ("/etc/a=b/cert.pem", ("", "/etc/a=b/cert.pem", None)),
        ("Shop.example=c.pem", ("shop.example", "c.pem", None)),
        ("*.shop.example=/c.pem,/k.pem", ("*.shop.example", "/c.pem", "/k.pem")),
    ],
)
def test_a_word_is_a_path_or_a_name_and_one_or_two_paths(word: str, parts: tuple[str, str, str | None]) -> None:
    assert split_certificate(word) == parts


@pytest.mark.parametrize(
    ("settings", "schemes"),
    [
        ({"listen": HERE}, ["https"]),
        ({"host": "127.0.0.1", "port": 0}, ["https"]),
        ({"listen": f"{HERE} http://{HERE} https://{HERE}"}, ["https", "http", "https"]),
    ],
    ids=["listen", "host-and-port", "schemes"],
)
def test_with_a_certificate_every_address_speaks_tls_but_those_written_http(
    settings: dict[str, Any], schemes: list[str]
) -> None:
    assert [address.scheme for address in Adjustments(**PEM, **settings).listen] == schemes


def test_a_context_is_a_certificate_too() -> None:
    adj = Adjustments(listen=HERE, tls_context=ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER))
    assert (adj.has_tls, adj.listen[0].scheme) == (True, "https")


def test_given_sockets_speak_tls_if_url_scheme_says_so() -> None:
    with socket.socket() as sock:
        assert Adjustments(sockets=[sock], url_scheme="https", **PEM).given_scheme == "https"
        assert Adjustments(sockets=[sock], url_scheme="https").given_scheme == "http"


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"tls_key": "k"}, "tls_key has no meaning without tls_certificate"),
        ({"tls_client_ca": "c"}, "tls_client_ca has no meaning without tls_certificate"),
        ({"tls_ciphers": "c"}, "tls_ciphers has no meaning without tls_certificate"),
        ({"tls_key_password_file": "c"}, "tls_key_password_file has no meaning without tls_certificate"),
        ({"tls_client_certificate": "optional"}, "tls_client_certificate has no meaning without tls_certificate"),
        (
            {**PEM, "tls_client_certificate": "optional"},
            f"tls_client_certificate=optional {WITHOUT} tls_client_ca, the CAs that issue the accepted certificates",
        ),
        (
            {**PEM, "tls_client_ca": "ca.pem"},
            "tls_client_ca has no meaning with tls_client_certificate=none: set optional or required",
        ),
        (
            {"tls_certificate": "a=b.pem"},
            f"tls_certificate='a=b.pem': {ONE_DEFAULT}",
        ),
        ({"tls_certificate": "a.pem b=c b=d"}, "tls_certificate='a.pem b=c b=d': two certificates for b"),
        (
            {**PEM, "listen": f"http://{HERE}"},
            "tls_certificate has no meaning without a listener that speaks TLS: each address of listen is http://",
        ),
        (
            {**PEM, "unix_socket": "/x"},
            f"tls_certificate {WITHOUT} a listener that speaks TLS: {GIVEN}",
        ),
        (
            {"tls_context": dict, "unix_socket": "/x"},
            f"tls_context {WITHOUT} a listener that speaks TLS: {GIVEN}",
        ),
    ],
    ids=lambda value: "-".join(value) if isinstance(value, dict) else "",
)
def test_what_has_no_meaning_is_refused_and_says_why(settings: dict[str, Any], message: str) -> None:
    if not {"listen", "unix_socket"} & settings.keys():
        settings = {**settings, "listen": HERE}
    with pytest.raises(ValueError) as caught:
        Adjustments(**settings)
    assert str(caught.value) == message


@pytest.mark.parametrize("settings", [{"tls_key": None}, {"tls_minimum_version": "1.3"}, {"tls_certificate": []}])
def test_what_changes_nothing_is_accepted_without_a_certificate(settings: dict[str, Any]) -> None:
    assert not Adjustments(listen=HERE, **settings).has_tls

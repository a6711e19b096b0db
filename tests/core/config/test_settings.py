"""The table of settings: every default, cast and check."""

import pickle
import traceback
import typing
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest

from tests.support.ids import short_id
from tests.support.rows import each_row
from waitress_core import SETTINGS, Adjustments, Setting
from waitress_core.config.faults import SettingsFault
from waitress_core.config.log_format import FIELDS

BY_NAME = {setting.name: setting for setting in SETTINGS}

DEFAULTS: dict[str, object] = {
    "host": "0.0.0.0",
    "port": 8080,
    "listen": ["0.0.0.0:8080"],
    "ipv4": True,
    "ipv6": True,
    "unix_socket": None,
    "unix_socket_perms": 0o600,
    "sockets": [],
    "backlog": 1024,
    "url_scheme": "http",
    "url_prefix": "",
    "server_name": "waitress.invalid",
    "ident": "waitress",
    "expose_tracebacks": False,
    "threads": 4,
    "trusted_proxy": None,
    "trusted_proxy_count": 1,
    "trusted_proxy_headers": set(),
    "proxy_protocol": "off",
    "clear_untrusted_proxy_headers": True,
    "log_untrusted_proxy_headers": False,
    "connection_limit": 1000,
    "max_request_header_size": 262144,
    "max_request_body_size": 1073741824,
    "queue_limit": 0,
    "channel_request_lookahead": 0,
    "channel_timeout": 120,
    "cleanup_interval": 30,
    "request_head_timeout": 30,
    "request_body_timeout": 30,
    "request_body_rate": 500,
    "response_timeout": 30,
    "blocked_response_rate": 16384,
    "response_rate": 500,
    "linger_timeout": 2,
    "shutdown_delay": 0,
    "shutdown_timeout": 25,
    "queue_timeout": 0,
    "request_timeout": 0,
    "asyncore_loop_timeout": 1,
    "recv_bytes": 8192,
    "send_bytes": 1,
    "inbuf_overflow": 524288,
    "outbuf_overflow": 1048576,
    "outbuf_high_watermark": 16777216,
    "access_log": False,
    "access_log_format": "combined",
    "log_slow_requests": 0,
    "queue_warning_seconds": 0.1,
    "log_socket_errors": True,
    "request_id_header": None,
    "status_listen": None,
    "status_token": None,
    "status_token_file": None,
    "ready_queue_seconds": 10,
    "asyncore_use_poll": False,
    "workers": 1,
    "worker_kind": "auto",
    "worker_timeout": 60,
    "max_requests": 0,
    "max_requests_jitter": 0,
    "max_worker_age": 0,
    "max_worker_memory": 0,
    "tls_certificate": [],
    "tls_key": None,
    "tls_key_password_file": None,
    "tls_client_ca": None,
    "tls_client_certificate": "none",
    "tls_minimum_version": "1.2",
    "tls_ciphers": None,
    "tls_context": None,
    "tls_handshake_timeout": 10,
}

# What an .ini file or the command line gives, a string; and what the server uses.
STRINGS: dict[str, tuple[str, object]] = {
    "host": ("127.0.0.1", "127.0.0.1"),
    "port": ("8081", 8081),
    "listen": ("127.0.0.1:1, [::1]:2", ["127.0.0.1:1", "[::1]:2"]),
    "ipv4": ("off", False),
    "ipv6": ("off", False),
    "unix_socket": ("/run/x.sock", "/run/x.sock"),
    "unix_socket_perms": ("660", 0o660),
    "sockets": ("", []),
    "url_scheme": ("https", "https"),
    "url_prefix": ("foo/", "/foo"),
    "server_name": ("example.org", "example.org"),
    "ident": ("", None),
    "expose_tracebacks": ("true", True),
    "trusted_proxy": ("10.0.0.1, 10.1.0.0/16", "10.0.0.1 10.1.0.0/16"),
    "trusted_proxy_headers": ("x-forwarded-for, x-forwarded-proto", {"x-forwarded-for", "x-forwarded-proto"}),
    "proxy_protocol": ("optional", "optional"),
    "clear_untrusted_proxy_headers": ("no", False),
    "log_untrusted_proxy_headers": ("yes", True),
    "access_log": (" Yes ", True),
    "access_log_format": ("json", "json"),
    "log_socket_errors": ("no", False),
    "request_id_header": (" On ", "X-Request-ID"),
    "status_listen": ("", None),
    "status_token": ("0123456789abcdef", "0123456789abcdef"),
    "status_token_file": ("token", "token"),
    "asyncore_use_poll": ("yes", True),
    "worker_kind": (" Process ", "process"),
    "tls_certificate": ("a.pem shop.example=b.pem,b.key", ["a.pem", "shop.example=b.pem,b.key"]),
    "tls_key": ("a.key", "a.key"),
    "tls_key_password_file": ("password", "password"),
    "tls_client_ca": ("ca.pem", "ca.pem"),
    "tls_client_certificate": (" Optional", "optional"),
    "tls_minimum_version": ("1.3", "1.3"),
    "tls_ciphers": ("ECDHE+AESGCM", "ECDHE+AESGCM"),
    "tls_context": ("", None),
    "workers": (" 3 ", 3),
}

LEAST = {
    "backlog": 1,
    "threads": 1,
    "trusted_proxy_count": 1,
    "connection_limit": 1,
    "max_request_header_size": 64,
    "max_request_body_size": 0,
    "queue_limit": 0,
    "channel_request_lookahead": 0,
    "request_body_rate": 1,
    "blocked_response_rate": 1,
    "response_rate": 1,
    "recv_bytes": 1,
    "send_bytes": 0,
    "inbuf_overflow": 1,
    "outbuf_overflow": 1,
    "outbuf_high_watermark": 1,
    "max_requests": 0,
    "max_requests_jitter": 0,
    "max_worker_memory": 0,
}

ABOVE_ZERO = "a number of seconds above 0"
FROM_ZERO = "a number of seconds of at least 0"
DURATIONS = {
    "channel_timeout": ABOVE_ZERO,
    "cleanup_interval": FROM_ZERO,
    "request_head_timeout": ABOVE_ZERO,
    "request_body_timeout": ABOVE_ZERO,
    "response_timeout": ABOVE_ZERO,
    "linger_timeout": ABOVE_ZERO,
    "shutdown_delay": FROM_ZERO,
    "shutdown_timeout": FROM_ZERO,
    "queue_timeout": FROM_ZERO,
    "request_timeout": FROM_ZERO,
    "asyncore_loop_timeout": FROM_ZERO,
    "log_slow_requests": FROM_ZERO,
    "queue_warning_seconds": FROM_ZERO,
    "worker_timeout": FROM_ZERO,
    "max_worker_age": FROM_ZERO,
    "tls_handshake_timeout": ABOVE_ZERO,
    "ready_queue_seconds": FROM_ZERO,
}
NO_DURATIONS: tuple[object, ...] = (
    -1,
    -0.1,
    "-0.1",
    "many",
    "",
    None,
    [],
    "1 s",
    "inf",
    "-Infinity",
    "nan",
    1e400,
    float("nan"),
    10**400,
)

LOG_SWITCH = "true or false, or the format of its lines: combined, json, or a text with {fields}"
NO_SWITCHES: tuple[object, ...] = (
    "treu", "flase", "yess", "2", 2, "JSON", "common", "stdout", [], object,
)  # fmt: skip

PEERS = "IP addresses and CIDR networks, * for any peer, or localhost for peers on this machine"
FIELD_LIST = "a text of one line with the fields " + " ".join(f"{{{name}}}" for name in FIELDS)
REFUSED: list[tuple[str, object, str]] = [
    ("port", -1, "a port number between 0 and 65535"),
    ("port", "65536", "a port number between 0 and 65535"),
    ("port", "", "a port number between 0 and 65535"),
    ("port", 1.5, "a port number between 0 and 65535"),
    ("tls_client_certificate", "yes", "none, optional or required"),
    ("tls_minimum_version", "1.1", "1.2 or 1.3"),
    ("tls_certificate", 7, "the paths of files, separated by spaces"),
    ("tls_certificate", b"a.pem", "the paths of files, separated by spaces"),
    ("tls_certificate", " ", "the paths of files, separated by spaces"),
    ("tls_certificate", ["a.pem", ""], "the paths of files, separated by spaces"),
    ("tls_key", 7, "the path of a file"),
    ("tls_key", "", "the path of a file"),
    ("tls_key_password_file", "", "the path of a file"),
    ("tls_client_ca", "", "the path of a file"),
    ("status_token_file", "", "the path of a file"),
    ("tls_context", "a.pem", "an ssl.SSLContext, or a callable that returns one, which only Python code can give"),
    ("listen", None, "a list of texts"),
    ("host", "http://127.0.0.1", "an address or a name; listen takes http://HOST:PORT"),
    ("sockets", ["127.0.0.1:80"], "a list of sockets"),
    ("unix_socket_perms", 600, "octal permissions between 0 and 7777, such as '660'"),
    ("unix_socket_perms", "888", "octal permissions between 0 and 7777, such as '660'"),
    ("unix_socket_perms", "10000", "octal permissions between 0 and 7777"),
    ("unix_socket_perms", "-1", "octal permissions between 0 and 7777"),
    ("url_prefix", "/\ud800", "text that has a form in UTF-8"),
    ("url_scheme", "", "a URL scheme, such as http or https"),
    ("url_scheme", "http://", "a URL scheme, such as http or https"),
    ("url_scheme", "ht tp", "a URL scheme, such as http or https"),
    ("ident", "a\r\nX: y", "printable ASCII text"),
    ("ident", "\u2603", "printable ASCII text"),
    ("server_name", "a\nb", "printable ASCII text"),
    ("trusted_proxy", "proxy.example", "IP addresses and CIDR networks"),
    ("trusted_proxy", "10.0.0.0/33", f"{PEERS}, not 10.0.0.0/33"),
    ("trusted_proxy", "10.0.0.1 nobody", f"{PEERS}, not nobody"),
    ("trusted_proxy_headers", 5, "a list of texts"),
    *[("access_log", given, LOG_SWITCH) for given in NO_SWITCHES],
    *[
        (
            "access_log",
            given,
            LOG_SWITCH + ". For a file, access_log_file of the command, or a handler of waitress.access: "
            f"logging.getLogger('waitress.access').addHandler(logging.FileHandler({str(given)!r}))",
        )
        for given in ("/var/log/access.log", "access.log", "logs/access", "C:\\logs\\a", Path("a.log"))
    ],
    (
        "access_log",
        "{path}",
        f"true, false, combined, json, or {FIELD_LIST}; {{path}} is not a field",
    ),
    ("access_log", "{target", "true, false, combined, json, or a text of one line with the fields {remote_addr}"),
    ("access_log_format", "", "combined, json, or a text of one line with the fields {remote_addr}"),
    ("access_log_format", "{target", "combined, json, or a text of one line with the fields {remote_addr}"),
    ("access_log_format", "{path}", "combined, json, or a text of one line with the fields {remote_addr}"),
    *[
        ("workers", given, "a whole number from 1 to 500, or auto")
        for given in (0, "-1", 501, "1.5", "many", 1e400, "")
    ],
    *[(name, least - 1, f"a whole number of at least {least}") for name, least in LEAST.items()],
    *[(name, "many", f"a whole number of at least {least}") for name, least in LEAST.items()],
    *[(name, 1e400, f"a whole number of at least {least}") for name, least in LEAST.items()],
    *[(name, given, accepted) for name, accepted in DURATIONS.items() for given in NO_DURATIONS],
    *[
        (name, given, ABOVE_ZERO)
        for name, accepted in DURATIONS.items()
        if accepted == ABOVE_ZERO
        for given in (0, "0")
    ],
]


def test_adjustments_has_the_names_of_the_table_and_no_others() -> None:
    hints = typing.get_type_hints(Adjustments)
    settings = {name for name, hint in hints.items() if typing.get_origin(hint) is not typing.ClassVar}
    assert settings == set(BY_NAME)
    assert len(BY_NAME) == len(SETTINGS)


def test_the_tests_know_every_setting() -> None:
    assert set(DEFAULTS) == set(BY_NAME)
    assert set(STRINGS) | set(LEAST) | set(DURATIONS) == set(BY_NAME)
    assert {setting.name for setting in SETTINGS if setting.unit == "seconds"} == set(DURATIONS)


@each_row("setting", SETTINGS, ids=lambda setting: setting.name)
def test_the_annotation_fits_the_default(setting: Setting) -> None:
    hint = typing.get_type_hints(Adjustments)[setting.name]
    origins = {typing.get_origin(part) or part for part in typing.get_args(hint) or [hint]}
    if typing.get_origin(hint) in (list, set):
        origins = {typing.get_origin(hint)}
    if float in origins:
        origins.add(int)  # an int is a float to type checkers
    assert type(setting.default) in origins


@pytest.mark.promise("S67", "S69", "S70")
@each_row("setting", SETTINGS, ids=lambda setting: setting.name)
def test_a_default_is_documented_and_passes_its_own_check(setting: Setting) -> None:
    assert setting.default == DEFAULTS[setting.name]
    assert type(setting.default) is type(DEFAULTS[setting.name])
    assert setting.check(setting.default) is None
    assert setting.help.endswith(".")
    assert setting.group


@each_row("name", DEFAULTS)
def test_a_default_can_be_read_on_the_class_and_on_an_instance(name: str) -> None:
    assert getattr(Adjustments, name) == DEFAULTS[name]
    if name != "listen":
        assert getattr(Adjustments(listen="127.0.0.1:0"), name) == DEFAULTS[name]


@pytest.mark.promise("S14")
@each_row(("name", "given", "expected"), [(name, *case) for name, case in STRINGS.items()])
def test_a_string_is_cast_to_the_value_that_is_used(name: str, given: str, expected: object) -> None:
    value = BY_NAME[name].read(given)
    assert value == expected
    assert type(value) is type(expected)


@pytest.mark.promise("S14")
@each_row(("name", "least"), LEAST.items())
def test_the_least_number_is_accepted_as_number_and_as_string(name: str, least: int) -> None:
    assert BY_NAME[name].read(least) == least
    assert BY_NAME[name].read(f" {least} ") == least
    assert type(BY_NAME[name].read(str(least))) is int


@pytest.mark.promise("S14", "S69")
@each_row("name", DURATIONS)
@each_row(
    ("given", "seconds"),
    [(0.4, 0.4), ("0.4", 0.4), (" .5 ", 0.5), (7, 7), ("7", 7), (7.0, 7), ("7.0", 7), (Fraction(1, 4), 0.25)],
    ids=repr,
)
def test_a_duration_may_be_a_fraction_and_a_whole_one_is_an_int(name: str, given: object, seconds: float) -> None:
    value = BY_NAME[name].read(given)
    assert value == seconds
    assert type(value) is type(seconds)


@each_row("name", [name for name, accepted in DURATIONS.items() if accepted == FROM_ZERO])
@each_row("given", [0, "0", 0.0, "-0.0"])
def test_a_duration_that_may_be_zero(name: str, given: object) -> None:
    assert str(BY_NAME[name].read(given)) == "0"


@pytest.mark.parametrize(
    ("name", "given"),
    [
        ("port", 0),
        ("port", 65535),
        ("workers", 1),
        ("workers", "500"),
        ("port", "http"),
        ("unix_socket_perms", "0"),
        ("unix_socket_perms", "7777"),
        ("trusted_proxy", "*"),
        ("trusted_proxy", "localhost"),
        ("trusted_proxy", "::1 2001:db8::/32 10.0.0.1/8"),
        ("url_scheme", "git+https"),
        ("ident", "name/1.0 (x; y)"),
        ("access_log", "combined"),
        ("access_log", "{method} {target}"),
        ("access_log_format", "combined"),
        ("access_log_format", "{status}"),
        ("access_log_format", "{{{target}}}"),
    ],
)
def test_a_value_at_the_edge_is_accepted(name: str, given: object) -> None:
    BY_NAME[name].read(given)


@each_row(("name", "given", "accepted"), REFUSED, ids=short_id)
def test_a_bad_value_names_the_setting_the_value_and_what_is_accepted(name: str, given: Any, accepted: str) -> None:
    with pytest.raises(ValueError) as caught:
        BY_NAME[name].read(given)
    assert str(caught.value).startswith(f"{name}={given!r}: expected {accepted}")


@pytest.mark.parametrize("setting", [s for s in SETTINGS if s.kind == "integer"], ids=lambda setting: setting.name)
def test_a_number_that_no_call_of_the_system_takes_is_refused(setting: Setting) -> None:
    most = setting.bounds.get("maximum", (1 << 63) - 1)
    assert setting.read(str(most)) == most
    with pytest.raises(ValueError, match=f"^{setting.name}='[0-9]+': expected .*\\b{most}\\b"):
        setting.read(str(most + 1))


def test_adjustments_read_values_as_the_table_says() -> None:
    with pytest.raises(ValueError, match=r"^threads=0: expected a whole number of at least 1$"):
        Adjustments(threads=0)
    assert Adjustments(threads="7", listen="127.0.0.1:0").threads == 7


def test_a_fault_writes_settings_as_it_is_asked_and_values_as_they_are() -> None:
    inner = SettingsFault("{word!r} is for {ident}", about=["host"], word="{port}")
    fault = inner.within("{listen}={given!r}: ", prefix="Refused. ", given="{x}")
    assert str(fault) == "Refused. listen='{x}': '{port}' is for ident"
    assert fault.names == ["host", "listen", "ident"]
    assert fault.written(str.upper) == "LISTEN='{x}': '{port}' is for IDENT"
    assert str(SettingsFault("{a}", a="x\ny\x1b")) == "x\\ny\\x1b"


def test_a_fault_is_a_value_error_to_everyone_else() -> None:
    fault = SettingsFault("{threads}={given}", given="{}")
    copied = pickle.loads(pickle.dumps(fault))
    assert (type(copied), str(copied)) == (ValueError, "threads={}")
    assert traceback.format_exception_only(fault) == ["ValueError: threads={}\n"]

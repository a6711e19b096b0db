"""nginx, HAProxy and Apache as child processes on loopback, each with the configurations that its page shows.

A page has the part that its reader writes. What that part goes into, and what makes the program run in a temporary
folder, as one process in the foreground, is here; what the page names is replaced by what the test has.
"""

import contextlib
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import httpx
import pytest

from tests.ecosystem.programs.commands import CLIENT_SECONDS, short_path
from tests.support.pages import blocks
from tests.support.ports import free_port
from tests.support.processes import wait_until_accepted
from tests.support.servers import running, spawned

# What the pages name.
HOST = "www.example.com"
TCP = "127.0.0.1:8080"
UNIX_SOCKET = "/run/shop/app.sock"

# Where a client comes from: not the address that a front connects from, where loopback has more than one.
CLIENT = "127.0.0.2" if sys.platform == "linux" else "127.0.0.1"

APACHE_MODULES = Path("/usr/lib/apache2/modules")


class Configurations(NamedTuple):
    """The configurations of a page, in its order."""

    tcp: str
    unix: str
    forwarded: str
    several: str
    rules: str
    merging: str = ""  # of HAProxy: a rule after its own normalisation


@dataclass(frozen=True, kw_only=True)
class Kind:
    """A program that is put in front: `program` of Debian's `package`, with a page that has blocks in a language.

    `options` are those of its command line, given its folder and the file of its configuration, which `whole` makes of
    the folder and of what is on the page; `merge` puts a later block of the page into the first one.
    """

    name: str
    program: str
    package: str
    page: str
    language: str
    options: Callable[[Path, Path], list[str]]
    whole: Callable[[Path, str], str]
    merge: Callable[[str, str], str]

    @property
    def configurations(self) -> Configurations:
        """What the page shows, each block put into the first one."""
        first, *parts = blocks(self.page, self.language)
        return Configurations(first, *(self.merge(first, part) for part in parts))


# --- blocks of a page put together


def _merge_sections(first: str, part: str) -> str:
    """Put sections in the place of those with the same heading, new ones first; a heading starts at the margin."""
    old, new = (
        {section.partition("\n")[0]: section for section in re.split(r"^(?=\w)", text, flags=re.MULTILINE)}
        for text in (first, part)
    )
    return "".join({**{heading: "" for heading in new if heading not in old}, **old, **new}.values())


def _merge_directives(first: str, part: str) -> str:
    """Put directives at the end of the virtual host; there is one ProxyPass."""
    if "ProxyPass" in part:
        first = re.sub(r"^ *ProxyPass .*\n", "", first, flags=re.MULTILINE)
    return first.replace("</VirtualHost>", f"{part}</VirtualHost>")


# --- whole configurations


def _whole_of_nginx(folder: Path, page: str) -> str:
    temporary = "".join(f"{kind}_temp_path {kind};\n" for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi"))
    return f"""
daemon off;
master_process off;
pid pid;
error_log stderr;
events {{}}
http {{
access_log off;
{temporary}
{page}
}}
"""


def _whole_of_apache(folder: Path, page: str) -> str:
    names = "mpm_event authz_core headers ssl proxy proxy_http proxy_balancer lbmethod_byrequests slotmem_shm"
    load = "\n".join(f"LoadModule {name}_module {APACHE_MODULES}/mod_{name}.so" for name in names.split())
    # Started by root, it must be told with which user's rights to go on.
    user = "User www-data\nGroup www-data" if sys.platform != "win32" and os.geteuid() == 0 else ""
    (listen,) = re.findall(r"<VirtualHost (.*)>", page)
    return f"""
{load}
{user}
ServerRoot {folder}
DefaultRuntimeDir {folder}
PidFile pid
ErrorLog /dev/stderr
ServerName localhost
Listen {listen}
{page}
"""


NGINX = Kind(
    name="nginx",
    program="nginx",
    package="nginx",
    page="how-to/behind-nginx.md",
    language="nginx",
    options=lambda folder, file: ["-p", f"{folder}/", "-e", "stderr", "-c", str(file)],
    whole=_whole_of_nginx,
    merge=_merge_sections,
)
HAPROXY = Kind(
    name="HAProxy",
    program="haproxy",
    package="haproxy",
    page="how-to/behind-haproxy.md",
    language="text",
    options=lambda folder, file: ["-db", "-f", str(file)],
    whole=lambda folder, page: page,
    merge=_merge_sections,
)
APACHE = Kind(
    name="Apache",
    program="apache2",
    package="apache2-bin",
    page="how-to/behind-apache.md",
    language="apache",
    options=lambda folder, file: ["-X", "-f", str(file)],
    whole=_whole_of_apache,
    merge=_merge_directives,
)
KINDS = [NGINX, HAPROXY, APACHE]
each_kind = pytest.mark.parametrize("kind", KINDS, ids=[kind.name for kind in KINDS])


def program(name: str, package: str) -> str:
    """Return the path of a program; skip the test where the machine lacks it."""
    found = shutil.which(name, path=f"{os.environ['PATH']}{os.pathsep}/usr/sbin")
    if found is None:
        pytest.skip(f"this host lacks {name} (on Debian: apt-get install {package})")
    return found


# --- run


@dataclass(frozen=True)
class Front:
    """A front that runs, with the certificate that it shows."""

    host: str
    port: int
    certificate: Path

    @contextlib.contextmanager
    def client(self) -> Iterator[httpx.Client]:
        """Return a client, which asks for the host of the pages."""
        verify = httpx.create_ssl_context(verify=str(self.certificate), trust_env=False)
        transport = httpx.HTTPTransport(verify=verify, local_address=CLIENT if self.host == "127.0.0.1" else None)
        url = f"https://{self.host}:{self.port}"
        with httpx.Client(
            base_url=url, transport=transport, trust_env=False, timeout=CLIENT_SECONDS, headers={"Host": HOST}
        ) as client:
            yield client


def _make_certificate(folder: Path) -> Path:
    """Make a certificate for the host of the pages and the addresses that clients connect to."""
    certificate, key, both = folder / "example.pem", folder / "example.key", folder / "both.pem"
    names = f"subjectAltName=DNS:{HOST},IP:127.0.0.1,IP:::1"
    usage = "keyUsage=critical,digitalSignature,keyCertSign"  # without which Python 3.13 refuses one that signs itself
    kind = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-noenc", "-days", "2", "-subj", f"/CN={HOST}"]
    command = [program("openssl", "openssl"), "req", "-x509", *kind, "-addext", names, "-addext", usage]
    subprocess.run([*command, "-keyout", key, "-out", certificate], check=True, capture_output=True)
    both.write_text(certificate.read_text() + key.read_text())  # as HAProxy wants it
    return certificate


@contextlib.contextmanager
def front(kind: Kind, configuration: str, addresses: dict[str, str], host: str = "127.0.0.1") -> Iterator[Front]:
    """Run a front with a configuration, in which these addresses are replaced; wait until it accepts."""
    executable = program(kind.program, kind.package)
    with tempfile.TemporaryDirectory(prefix="w") as name:
        folder = Path(name)
        folder.chmod(0o711)  # Apache runs as another user
        certificate = _make_certificate(folder)
        port = free_port()
        replaced = {
            "*:443": f"{host}:{port}",
            ":443": f"{host}:{port}",
            "listen 443": f"listen {host}:{port}",
            "/etc/haproxy/example.pem": f"{folder}/both.pem",
            "/etc/ssl/": f"{folder}/",
            **addresses,
        }
        words = re.compile("|".join(map(re.escape, replaced)))
        text = words.sub(lambda found: replaced[found[0]], configuration)
        file = folder / "configuration"
        file.write_text(kind.whole(folder, text))
        with spawned([executable, *kind.options(folder, file)], folder) as process:
            wait_until_accepted(process, (host.strip("[]"), port))
            try:
                yield Front(host, port, certificate)
            except BaseException:
                print(f"{kind.name} has logged:", *process.log, sep="\n")  # shown with the failure
                raise
            process.signal()
            process.wait()


@contextlib.contextmanager
def behind(
    kind: Kind, configuration: str, application: Callable[..., Any], host: str = "127.0.0.1", **settings: Any
) -> Iterator[httpx.Client]:
    """Serve an application where a configuration expects it; return a client of a front with that configuration."""
    with contextlib.ExitStack() as stack:
        if UNIX_SOCKET in configuration:
            path = stack.enter_context(short_path())
            path.parent.chmod(0o711)  # Apache runs as another user
            settings |= {"unix_socket": str(path), "unix_socket_perms": "666"}
        server = stack.enter_context(running(application, **settings))
        address = server.address
        addresses = {UNIX_SOCKET: address} if isinstance(address, str) else {TCP: f"{address[0]}:{address[1]}"}
        running_front = stack.enter_context(front(kind, configuration, addresses, host))
        yield stack.enter_context(running_front.client())

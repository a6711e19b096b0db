"""What others find over TLS: a scanner nothing, next to Mozilla's intermediate profile; a browser the example."""

import base64
import hashlib
import importlib.util
import re
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.ecosystem.chromium import CHROMIUM, page
from tests.functional.applications import Recorder
from tests.project.repository import ROOT
from tests.support.certificates import authority_file, server_file
from tests.support.servers import running

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIEnvironment

pytestmark = pytest.mark.ecosystem

# Python before 3.15 cannot choose the curves: these two are OpenSSL's own, and no weaker than the others.
CURVES = {"secp521r1", "X448"}


def test_sslyze_finds_nothing_to_say() -> None:
    pytest.importorskip("sslyze")
    command = [str(Path(sys.executable).with_name("sslyze")), "--mozilla_config=intermediate"]
    with running(Recorder(), tls_certificate=server_file()) as server:
        target = f"localhost:{server.address[1]}"
        done = subprocess.run(
            [*command, f"--certinfo_ca_file={authority_file()}", target], capture_output=True, text=True, timeout=100
        )
    assert "VULNERABLE - " not in done.stdout, done.stdout
    assert "OK - Not vulnerable" in done.stdout, done.stdout
    findings = dict(re.findall(r"^ +\* (\w+): (.*)$", done.stdout.partition("COMPLIANCE")[2], re.MULTILINE))
    curves = set(re.findall(r"'(\w+)'", findings.pop("tls_curves", "")))
    assert curves <= CURVES
    findings.pop("maximum_certificate_lifespan", None)  # those of trustme are valid for decades
    findings.pop("certificate_path_validation", None)  # the stores of sslyze do not have its authority
    assert findings == {}


def key_hash(path: str) -> str:
    """Return the hash of the public key of a file's first certificate, by which a browser can be told to trust it."""
    x509 = pytest.importorskip("cryptography.x509")
    serialization = pytest.importorskip("cryptography.hazmat.primitives.serialization")
    key = x509.load_pem_x509_certificate(Path(path).read_bytes()).public_key()
    der = key.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    return base64.b64encode(hashlib.sha256(der).digest()).decode("ascii")


@pytest.mark.ecosystem
@pytest.mark.skipif(CHROMIUM is None, reason="chromium is not installed")
def test_chromium_loads_the_example_over_https_and_keeps_its_connection(tmp_path: Path) -> None:
    spec = importlib.util.spec_from_file_location("tour", ROOT / "docs" / "examples" / "tour.py")
    assert spec is not None
    assert spec.loader is not None
    tour = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(tour)
    seen: list[tuple[str, str, str]] = []

    def application(environ: "WSGIEnvironment", start_response: "StartResponse") -> Iterable[bytes]:
        seen.append((environ["PATH_INFO"], environ["REMOTE_PORT"], environ["SSL_PROTOCOL"]))
        answer: Iterable[bytes] = tour.application(environ, start_response)
        return answer

    certificate = server_file()
    trust = f"--ignore-certificate-errors-spki-list={key_hash(certificate)}"
    with running(application, tls_certificate=certificate) as server, page(tmp_path, trust) as shown:
        shown.show(f"https://localhost:{server.address[1]}/", 800, 600)
        heading = shown.value("document.querySelector('h1').outerHTML")
        assert heading in tour.PAGE
        assert shown.value("document.querySelector('table').textContent.includes('SSL_SERVER_NAME')")
        shown.value(
            """(async () => {
                for (let i = 0; i < 10; i++) await (await fetch("/file")).arrayBuffer();
                const body = new Uint8Array(3000000);
                window.answer = await (await fetch("/upload", {method: "PUT", body})).text();
            })(); 0"""
        )
        assert "3000000" in shown.wait_for("window.answer").replace(",", "").replace(" ", "")
    paths, ports, versions = zip(*(one for one in seen if one[0] in ("/file", "/upload")), strict=True)
    assert paths == ("/file",) * 10 + ("/upload",)
    assert len(set(ports)) <= 2  # a browser opens another in advance
    assert set(versions) == {"TLSv1.3"}
    assert [text for text in shown.messages if "404" not in text] == []  # it has no favicon

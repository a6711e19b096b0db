"""Certificates for tests, made by `trustme`: one authority for a run of the tests, and files of what it has issued.

On interpreters for which there is no trustme, the command `openssl` makes the one certificate that most tests need.
"""

import atexit
import importlib.util
import shutil
import ssl
import subprocess
import tempfile
from functools import cache
from pathlib import Path
from typing import Any

import pytest

NAMES = ("localhost", "127.0.0.1", "::1")


@cache
def authority() -> Any:
    """Return the authority that clients of tests trust; its keys are of P-256."""
    trustme = pytest.importorskip("trustme")
    return trustme.CA()


@cache
def folder() -> Path:
    """Return the folder of all files; it is removed when the process ends."""
    path = Path(tempfile.mkdtemp(prefix="waitress-certificates-"))
    atexit.register(shutil.rmtree, path, ignore_errors=True)
    return path


@cache
def authority_file() -> str:
    """Return the file of the authority's certificate."""
    if _has_openssl_alone():
        return _self_signed_file()
    path = folder() / "ca.pem"
    authority().cert_pem.write_to_path(str(path))
    return str(path)


@cache
def server_file(*names: str, **details: Any) -> str:
    """Return a file with a certificate for these names, by default for this machine, its chain and its key."""
    if not names and not details and _has_openssl_alone():
        return _self_signed_file()
    path = folder() / f"server-{len(list(folder().iterdir()))}.pem"
    authority().issue_cert(*(names or NAMES), **details).private_key_and_cert_chain_pem.write_to_path(str(path))
    return str(path)


def _has_openssl_alone() -> bool:
    return importlib.util.find_spec("trustme") is None and shutil.which("openssl") is not None


@cache
def _self_signed_file() -> str:
    """Return a file with a key and a certificate for NAMES, which is its own authority."""
    path = folder() / "self-signed.pem"
    names = ",".join(f"{'DNS' if name == 'localhost' else 'IP'}:{name}" for name in NAMES)
    command = ["openssl", "req", "-x509", "-nodes", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"]
    details = ["-subj", "/CN=localhost", "-addext", f"subjectAltName={names}"]
    subprocess.run([*command, *details, "-keyout", path, "-out", path], check=True, capture_output=True)
    return str(path)


@cache
def client_file(common_name: str = "Ada Lovelace") -> str:
    """Return a file with a certificate for a client, and its key."""
    path = folder() / f"client-{len(list(folder().iterdir()))}.pem"
    issued = authority().issue_cert("ada@example.org", common_name=common_name, organization_name="Engines, Ltd")
    issued.private_key_and_cert_chain_pem.write_to_path(str(path))
    return str(path)


def client_context(certificate: str | None = None) -> ssl.SSLContext:
    """Return the context of a client that trusts the authority, and shows this certificate."""
    context = ssl.create_default_context(cafile=authority_file())
    if certificate is not None:
        context.load_cert_chain(certificate)
    return context

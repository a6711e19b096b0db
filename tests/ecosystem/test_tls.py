"""What a scanner of TLS finds: nothing, next to Mozilla's intermediate profile."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.functional.applications import Recorder
from tests.support.certificates import authority_file, server_file
from tests.support.servers import running

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

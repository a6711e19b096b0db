"""What the page on monitoring shows fits the server: its metrics, its options, its paths."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any, get_type_hints

import pytest
import yaml
from docs._extensions.metrics_reference import fields_as_markdown, labels_as_markdown, metrics_as_markdown

from tests.project.repository import ROOT
from waitress_cli.options import parse
from waitress_core import Adjustments
from waitress_core.connection.states import STATE_NAMES
from waitress_core.observability.snapshot import RunningRequest, Snapshot, Totals
from waitress_core.observability.stats import DEADLINES, END_REASONS, EXIT_REASONS, HANDSHAKES
from waitress_core.status.app import OPEN_PATHS, PATHS
from waitress_core.status.document import Document, Supervision
from waitress_core.status.metrics import METRICS

FOLDER = ROOT / "docs" / "how-to" / "monitor"
NAMES = {metric.name for metric in METRICS}
REFERENCE = (ROOT / "docs" / "reference" / "status.md").read_text(encoding="utf-8")


def names_in(expression: str) -> set[str]:
    """Return the metrics that an expression of PromQL names, a histogram's by its own name."""
    found = re.findall(r"\b(?:waitress|process)_\w+", expression)
    return {re.sub(r"_bucket$", "", name) for name in found}


def expressions(path: Path) -> list[str]:
    if path.suffix == ".md":
        return re.findall(r"^\| `(.*waitress_\w+.*)` \|", path.read_text(encoding="utf-8"), re.MULTILINE)
    if path.suffix == ".json":
        return [target["expr"] for panel in json.loads(path.read_text())["panels"] for target in panel["targets"]]
    return [rule["expr"] for group in yaml.safe_load(path.read_text())["groups"] for rule in group["rules"]]


@pytest.mark.parametrize("name", ["alerts.yml", "grafana.json", "../monitor.md"])
def test_every_query_is_about_a_metric_that_the_server_has(name: str) -> None:
    found = expressions(FOLDER / name)
    assert len(found) > 3
    for expression in found:
        named = names_in(expression)
        assert named <= NAMES, expression
        assert named or "up{" in expression


def test_the_dashboard_asks_the_data_source_that_is_chosen() -> None:
    dashboard = json.loads((FOLDER / "grafana.json").read_text())
    assert len({panel["id"] for panel in dashboard["panels"]}) == len(dashboard["panels"])
    assert {panel["datasource"]["uid"] for panel in dashboard["panels"]} == {"${datasource}"}


def test_the_probes_of_the_manifest_ask_paths_that_need_no_token() -> None:
    page = (ROOT / "docs" / "how-to" / "monitor.md").read_text(encoding="utf-8")
    [text] = re.findall(r"^```yaml\n(apiVersion.*?)^```$", page, re.MULTILINE | re.DOTALL)
    manifest: Any = yaml.safe_load(text)
    [container] = manifest["spec"]["containers"]
    probes = [container[name]["httpGet"] for name in ("startupProbe", "readinessProbe", "livenessProbe")]
    assert {probe["path"] for probe in probes} <= OPEN_PATHS
    command = parse(container["args"][1:])
    Adjustments(**command.settings)
    ports = {port["name"]: port["containerPort"] for port in container["ports"]}
    assert command.settings["status_listen"] == f"0.0.0.0:{ports['status']}"
    [mount], [volume] = container["volumeMounts"], manifest["spec"]["volumes"]
    assert command.settings["status_token_file"].startswith(mount["mountPath"])
    assert volume["secret"]["defaultMode"] & 0o007 == 0


def test_the_reference_has_every_path_metric_field_and_label() -> None:
    assert [path for path in PATHS if f"| `{path}` |" not in REFERENCE] == []
    assert "% metrics\n" in REFERENCE
    assert re.findall(r"^\| `(\w+)`", metrics_as_markdown(), re.MULTILINE) == [metric.name for metric in METRICS]
    for name in (*STATE_NAMES, "busy", "idle", "lost", "done", "failed"):
        assert f"`{name}`" in REFERENCE.partition("% metrics\n")[2].partition("###")[0]
    tables = {
        "END_REASONS": END_REASONS,
        "DEADLINES": DEADLINES,
        "HANDSHAKES": HANDSHAKES,
        "EXIT_REASONS": EXIT_REASONS,
    }
    for name, table in tables.items():
        assert f"% labels waitress_core.observability.stats:{name}\n" in REFERENCE
        assert re.findall(r"^\| `(\w+)`", labels_as_markdown(table), re.MULTILINE) == list(table)
    for record in (Document, Totals, Snapshot, RunningRequest, Supervision):
        assert f":{record.__name__}\n" in REFERENCE
        fields = set(re.findall(r"^\| `(\w+)` \| `", fields_as_markdown(record), re.MULTILINE))
        inherited = set(get_type_hints(Totals)) if record is Snapshot else set()
        assert fields == set(get_type_hints(record)) - inherited, record

"""How many workers `auto` means: files of a system in a folder, without the system."""

import os
from pathlib import Path

import pytest

from waitress_core import Adjustments
from waitress_core.config import adjustments, processors
from waitress_core.config.casts import MOST_WORKERS
from waitress_core.config.processors import usable_processors
from waitress_core.config.settings import SETTINGS

WORKERS = next(setting for setting in SETTINGS if setting.name == "workers")


@pytest.fixture(autouse=True)
def system(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Have eight processors and no cgroups; return the folder in which a test can make some."""
    for name in ("process_cpu_count", "sched_getaffinity"):
        monkeypatch.delattr(os, name, raising=False)
    monkeypatch.setattr(os, "cpu_count", lambda: 8)
    monkeypatch.setattr(processors, "CGROUPS", tmp_path)
    monkeypatch.setattr(processors, "OWN_CGROUPS", tmp_path / "own")
    monkeypatch.delenv("WEB_CONCURRENCY", raising=False)
    return tmp_path


def write(folder: Path, **texts: str) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in texts.items():
        (folder / name.replace("__", ".")).write_text(text)


@pytest.mark.parametrize(
    ("own", "folder", "files", "expected"),
    [
        ("", "", {}, 8),
        ("", "", {"cpu__max": "150000 100000\n"}, 2),
        ("", "", {"cpu__max": "max 100000\n"}, 8),
        ("", "", {"cpu__max": "10000 100000\n"}, 1),
        ("0::/a/b\n", "a", {"cpu__max": "300000 100000\n"}, 3),
        ("0::/a/b\n", "a/b", {"cpu__max": "400000 100000\n"}, 4),
        ("3:cpu,cpuacct:/pod\n", "cpu/pod", {"cpu__cfs_quota_us": "250000\n", "cpu__cfs_period_us": "100000\n"}, 3),
        ("3:cpu,cpuacct:/pod\n", "cpu", {"cpu__cfs_quota_us": "-1\n", "cpu__cfs_period_us": "100000\n"}, 8),
    ],
    ids=["none", "v2", "v2-max", "v2-tenth", "v2-above", "v2-own", "v1", "v1-unlimited"],
)
def test_a_quota_of_the_cgroup_lowers_the_count(
    system: Path, own: str, folder: str, files: dict[str, str], expected: int
) -> None:
    (system / "own").write_text(own)
    write(system / folder, **files)
    assert usable_processors() == expected


def test_the_affinity_counts_where_the_interpreter_does_not(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda process: {0, 3}, raising=False)
    assert usable_processors() == 2
    monkeypatch.setattr(os, "process_cpu_count", lambda: 5, raising=False)
    assert usable_processors() == 5


def test_auto_prefers_web_concurrency(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "fork", None, raising=False)
    assert WORKERS.read(" Auto ") == 8
    monkeypatch.setenv("WEB_CONCURRENCY", "3")
    assert WORKERS.read("auto") == 3


@pytest.mark.parametrize("given", ["many", "-1", "0", "1.5", "1e9", "501", pytest.param("9" * 5000, id="long")])
def test_a_bad_web_concurrency_is_named_with_its_value(monkeypatch: pytest.MonkeyPatch, given: str) -> None:
    monkeypatch.setenv("WEB_CONCURRENCY", given)
    with pytest.raises(ValueError) as caught:
        WORKERS.read("auto")
    assert str(caught.value) == (
        f"workers=auto reads WEB_CONCURRENCY='{given}' from the environment: expected a whole number from 1 to 500, "
        "or no value"
    )


def test_with_an_empty_web_concurrency_the_processors_count(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("waitress_core.config.processors.usable_processors", lambda: 5)
    monkeypatch.setattr(os, "fork", None, raising=False)
    monkeypatch.setenv("WEB_CONCURRENCY", " ")
    assert WORKERS.read("auto") == 5


def test_auto_is_no_more_than_can_be_set(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "fork", None, raising=False)
    monkeypatch.setattr("waitress_core.config.processors.usable_processors", lambda: MOST_WORKERS + 1)
    assert WORKERS.read("auto") == MOST_WORKERS


def test_without_auto_the_environment_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WEB_CONCURRENCY", "3")
    assert Adjustments(listen="127.0.0.1:0").workers == 1


def test_a_system_without_fork_refuses_several_workers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(os, "fork", raising=False)
    monkeypatch.setattr(adjustments, "_is_gil_enabled", lambda: True)
    assert WORKERS.read("auto") == 1
    with pytest.raises(ValueError, match=r"^workers=2: this system cannot fork processes; run several servers"):
        Adjustments(listen="127.0.0.1:0", workers=2)


def test_an_interpreter_with_the_gil_refuses_worker_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(adjustments, "_is_gil_enabled", lambda: True)
    with pytest.raises(ValueError, match=r"^worker_kind='thread': this interpreter .*worker_kind=process"):
        Adjustments(listen="127.0.0.1:0", workers=2, worker_kind="thread")
    assert not Adjustments(listen="127.0.0.1:0", workers=1, worker_kind="thread").has_worker_threads


@pytest.mark.parametrize(
    ("settings", "has_gil", "has_processes", "has_threads"),
    [
        ({}, True, False, False),
        ({}, False, False, False),
        ({"workers": 2}, True, True, False),
        ({"workers": 2}, False, False, True),
        ({"workers": 2, "worker_kind": "process"}, False, True, False),
        ({"max_requests": 5}, True, True, False),
        ({"max_worker_age": 5}, True, True, False),
        ({"max_worker_memory": 5}, True, True, False),
    ],
    ids=lambda value: ",".join(value) if isinstance(value, dict) else str(value),
)
def test_what_workers_are_depends_on_the_interpreter(
    monkeypatch: pytest.MonkeyPatch, settings: dict[str, object], has_gil: bool, has_processes: bool, has_threads: bool
) -> None:
    monkeypatch.setattr(os, "fork", None, raising=False)
    monkeypatch.setattr(adjustments, "_is_gil_enabled", lambda: has_gil)
    adj = Adjustments(listen="127.0.0.1:0", **settings)
    assert (adj.has_worker_processes, adj.has_worker_threads) == (has_processes, has_threads)

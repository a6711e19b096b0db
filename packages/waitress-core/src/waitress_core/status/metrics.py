"""Metrics as text, from the snapshots of workers: in the format of OpenMetrics 1.0, or in that of Prometheus 0.0.4.

`METRICS` is the only list: the text and the reference page are made from it. No label has a client's words: methods
that are not registered are one, rules and reasons are ours.

Pure: snapshots in, text out.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from ..observability.histograms import BOUNDS
from ..observability.snapshot import Snapshot
from .document import Supervision

OPEN_METRICS = "application/openmetrics-text; version=1.0.0; charset=utf-8"
PROMETHEUS = "text/plain; version=0.0.4; charset=utf-8"

Labels = dict[str, str]
Sample = tuple[str, Labels, float]  # suffix of the name, labels, value


class Metric(NamedTuple):
    """One row: `samples` gives those of one worker; a metric of the whole server has none of that kind.

    `name` is as Prometheus has it: a counter's ends in `_total`. `labels` are its labels, for the reference.
    """

    name: str
    kind: str  # "counter", "gauge", "histogram" or "info"
    help: str
    samples: Callable[[Any], Iterable[Sample]]
    labels: str = ""
    source: str = "worker"  # "supervisor", "server": what `samples` is called with


def _one(field: str) -> Callable[[Snapshot], Iterable[Sample]]:
    def samples(snapshot: Any) -> Iterable[Sample]:
        value = snapshot[field]
        return [] if value is None else [("", {}, value)]

    return samples


def _by(label: str, field: str) -> Callable[[Any], Iterable[Sample]]:
    return lambda figures: [("", {label: name}, count) for name, count in sorted(figures[field].items())]


def _requests(snapshot: Snapshot) -> Iterator[Sample]:
    for method, counts in sorted(snapshot["requests"].items()):
        for status, count in counts.items():
            if count:
                yield "", {"method": method, "status": status}, count


def _histogram(field: str) -> Callable[[Any], Iterator[Sample]]:
    def samples(snapshot: Any) -> Iterator[Sample]:
        figures, seen = snapshot[field], 0
        for bound, count in zip((*map(repr, BOUNDS), "+Inf"), figures["counts"], strict=True):
            seen += count
            yield "_bucket", {"le": bound}, seen
        yield "_sum", {}, figures["sum"]
        yield "_count", {}, seen

    return samples


def _in_flight(snapshot: Snapshot) -> list[Sample]:
    connections = snapshot["connections"]
    return [("", {}, connections.get("task", 0) + connections.get("flush", 0))]


METRICS: tuple[Metric, ...] = (
    Metric(
        "waitress_http_requests_total",
        "counter",
        "Requests that have ended, by method (`other` if it is not registered) and class of status (`none` if no "
        "response could start).",
        _requests,
        "method, status",
    ),
    Metric(
        "waitress_http_request_duration_seconds",
        "histogram",
        "Time from the complete request until its response was sent, or was ready and waited only for its client.",
        _histogram("durations"),
    ),
    Metric(
        "waitress_http_request_queue_seconds",
        "histogram",
        "Time from the complete request until a thread started to answer it.",
        _histogram("waits"),
    ),
    Metric(
        "waitress_http_request_bytes_total",
        "counter",
        "Bytes received from clients, heads and bodies.",
        _one("bytes_in"),
    ),
    Metric(
        "waitress_http_response_bytes_total",
        "counter",
        "Bytes sent to clients, heads and bodies.",
        _one("bytes_out"),
    ),
    Metric(
        "waitress_http_requests_in_flight",
        "gauge",
        "Requests that wait for a thread, run, or have a response that is being sent.",
        _in_flight,
    ),
    Metric(
        "waitress_http_requests_refused_total",
        "counter",
        "Requests that were refused, by the rule that they have broken.",
        _by("rule", "refused"),
        "rule",
    ),
    Metric(
        "waitress_connections",
        "gauge",
        "Open connections, by state.",
        _by("state", "connections"),
        "state",
    ),
    Metric(
        "waitress_connections_ended_total",
        "counter",
        "Connections that have ended, by reason.",
        _by("reason", "connections_ended"),
        "reason",
    ),
    Metric(
        "waitress_deadlines_total",
        "counter",
        "Deadlines that clients have missed, by kind.",
        _by("kind", "deadlines"),
        "kind",
    ),
    Metric(
        "waitress_threads",
        "gauge",
        "Application threads, by state.",
        _by("state", "threads"),
        "state",
    ),
    Metric("waitress_queue_depth", "gauge", "Requests that wait for a thread.", _one("queue_depth")),
    Metric(
        "waitress_queue_oldest_seconds",
        "gauge",
        "Time that the oldest waiting request has waited for a thread; 0 if none waits.",
        _one("queue_oldest_seconds"),
    ),
    Metric(
        "waitress_worker_starts_total",
        "counter",
        "Workers that the supervisor has started.",
        _one("starts"),
        source="supervisor",
    ),
    Metric(
        "waitress_worker_exits_total",
        "counter",
        "Workers that have ended, by reason.",
        _by("reason", "exits"),
        "reason",
        "supervisor",
    ),
    Metric(
        "waitress_reloads_total",
        "counter",
        "Reloads, by result.",
        _by("result", "reloads"),
        "result",
        "supervisor",
    ),
    Metric(
        "waitress_tls_handshakes_total",
        "counter",
        "TLS handshakes, by result.",
        _by("result", "tls_handshakes"),
        "result",
    ),
    Metric(
        "waitress_log_lines_dropped_total",
        "counter",
        "Lines of the access log that were left out, because no thread was free to write them.",
        _one("log_lines_dropped"),
    ),
    Metric(
        "waitress_build_info",
        "info",
        "Versions of the server and of the interpreter; always 1.",
        lambda labels: [("", labels, 1)],
        "version, python",
        "server",
    ),
    Metric(
        "process_resident_memory_bytes",
        "gauge",
        "Resident memory of the process. Linux only.",
        _one("memory_bytes"),
    ),
    Metric(
        "process_open_fds",
        "gauge",
        "Open descriptors of the process. Not on Windows.",
        _one("open_descriptors"),
    ),
    Metric(
        "process_start_time_seconds",
        "gauge",
        "When the process started, in seconds since 1970.",
        _one("started_at"),
    ),
)


def render(
    snapshots: Sequence[Snapshot], supervision: Supervision | None, build: Mapping[str, str], *, is_open_metrics: bool
) -> str:
    """Return the text. With a supervisor or several workers, what is a worker's has the further label `worker`.

    It names every metric, also one without a sample.
    """
    has_workers = supervision is not None or len(snapshots) > 1
    lines: list[str] = []
    for metric in METRICS:
        samples: list[tuple[Labels, Sample]] = []
        if metric.source == "server":
            samples = [({}, sample) for sample in metric.samples(dict(build))]
        elif metric.source == "supervisor":
            samples = [({}, sample) for sample in metric.samples(supervision)] if supervision is not None else []
        else:
            for snapshot in snapshots:
                own = {"worker": str(snapshot["worker"])} if has_workers else {}
                samples += [(own, sample) for sample in metric.samples(snapshot)]
        lines += _family(metric, samples, is_open_metrics)
    if is_open_metrics:
        lines.append("# EOF")
    return "\n".join(lines) + "\n"


def _family(metric: Metric, samples: Iterable[tuple[Labels, Sample]], is_open_metrics: bool) -> Iterator[str]:
    name, kind = metric.name, metric.kind
    if is_open_metrics:  # there the family has the name without the suffix of its samples
        name = name.removesuffix("_total" if kind == "counter" else "_info" if kind == "info" else "")
    elif kind == "info":
        kind = "gauge"
    yield f"# HELP {name} {_escaped(metric.help.replace('`', ''), quote=is_open_metrics)}"
    yield f"# TYPE {name} {kind}"
    for own, (suffix, labels, value) in samples:
        pairs = ",".join(f'{label}="{_escaped(text, quote=True)}"' for label, text in {**own, **labels}.items())
        yield f"{metric.name}{suffix}{'{' + pairs + '}' if pairs else ''} {value}"


def _escaped(text: str, *, quote: bool) -> str:
    text = text.replace("\\", "\\\\").replace("\n", "\\n")
    return text.replace('"', '\\"') if quote else text


def wants_open_metrics(accept: str) -> bool:
    """Whether an Accept field prefers OpenMetrics to the text of Prometheus; without one, it does not."""
    best = {"application/openmetrics-text": 0.0, "text/plain": 0.0}
    for item in accept.lower().split(","):
        media, *parameters = (part.strip() for part in item.split(";"))
        if media in best:
            quality = next((part[2:] for part in parameters if part.startswith("q=")), "1")
            try:
                best[media] = max(best[media], float(quality))
            except ValueError:
                continue
    return best["application/openmetrics-text"] > best["text/plain"]

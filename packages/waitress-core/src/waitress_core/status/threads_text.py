"""What the application threads of all workers work on, as text for people.

Pure: snapshots in, text out.
"""

from collections.abc import Iterator, Sequence

from ..observability.snapshot import Snapshot


def threads_as_text(snapshots: Sequence[Snapshot]) -> str:
    """Return the text."""
    return "\n".join(line for snapshot in snapshots for line in _lines(snapshot)) + "\n"


def _lines(snapshot: Snapshot) -> Iterator[str]:
    threads = snapshot["threads"]
    lost = f", {threads['lost']} lost" if threads.get("lost") else ""
    yield (
        f"Process {snapshot['pid']}, {snapshot['state']}: {threads['busy']} threads busy, {threads['idle']} idle{lost}"
    )
    if snapshot["queue_depth"]:
        oldest = snapshot["queue_oldest_seconds"]
        depth = snapshot["queue_depth"]
        waiting = "1 request waits" if depth == 1 else f"{depth} requests wait"
        yield f"{waiting} for a thread, the first for {oldest:.3f} seconds"
    for run in snapshot["running"]:
        yield ""
        request_id = f", request {run['request_id']}" if run["request_id"] else ""
        yield f"{run['thread']}: {run['request']}{request_id}, for {run['seconds']:.3f} seconds"
        yield from (f"  {frame}" for frame in run["stack"])
    yield ""

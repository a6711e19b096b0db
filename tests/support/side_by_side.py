"""The same tests with two workers in the process of a server: `pytest --side-by-side`, on a free-threaded interpreter.

Servers of `servers.running` and `processes.serving_program` have them then, unless a setting is about workers or counts
what each of them has. A test marked `one_worker` counts that without such a setting.
"""

from typing import Any

WORKERS = 2
OF_ONE_WORKER = frozenset(
    ("workers", "worker_kind", "max_requests", "max_worker_age", "max_worker_memory", "threads", "connection_limit")
)
is_on = False  # by the option


def settings_for(settings: dict[str, Any]) -> dict[str, Any]:
    """Return the settings of a server, with two workers if it should have them."""
    return settings if not is_on or OF_ONE_WORKER & settings.keys() else {**settings, "workers": WORKERS}

"""Several workers: a supervisor that binds, forks, watches and never serves, and the workers that serve.

The `supervisor` asks `plan` what to do next, a pure function of the `states` of its `workers`; it keeps a
`worker_handle` for each, with its `worker_pipes`. It waits (`waiting`) for signals and for its children; it forks them
(`forking`), and each starts in `child`, and has a `lifeline` to it for as long as it cannot tick. Its `successor` is
another supervisor, and so is its predecessor: `takeover`. Each `worker` runs the whole server as one process would;
`supervised` is that server as all of them see it. They share the `scoreboard`: figures in shared memory, by which the
supervisor sees whether workers tick, and workers see which of them should accept next. `figures` are their sums, which
the process of the status server (`status_process`) shows. With `reloading`, a worker watches its files and retires when
one changes.

On an interpreter without the GIL workers can run `side_by_side` in one process. A server with one worker imports
nothing of this, except `starting` if it has a status server: while the application is imported, a process answers for
it.
"""

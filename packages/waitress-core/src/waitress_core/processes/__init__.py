"""Several workers: a supervisor that binds, forks, watches and never serves, and the workers that serve.

The supervisor (`supervisor`) keeps a `worker_handle` for each worker and asks `plan` what to do next, a pure function
of their states. Each worker (`worker`) is a fork of it that runs the whole server as one process would; `supervised` is
that server as all of them see it. They share the `scoreboard`: figures in shared memory, by which the supervisor sees
whether workers tick, and workers see which of them should accept next. A server with one worker imports nothing of
this.
"""

"""Application threads, and the leadership that makes one of them the reactor.

The `dispatcher` runs tasks and turns of I/O on a fixed number of application threads, a standby and a watchdog, after
the pattern Leader/Followers. `tasks` says what a task is. `leadership` decides when tasks are handed off, and the
`watchdog` takes leadership from a task that is slow. `running` says what each thread runs, `queue_log` when the queue
is worth a log record.
"""

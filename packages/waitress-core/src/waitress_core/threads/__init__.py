"""Application threads, and the one leader among them.

The `dispatcher` runs tasks, and turns of I/O, on a fixed number of application threads, a standby and a watchdog, after
the pattern Leader/Followers: the thread that leads is the reactor. It knows tasks only: `service` and `cancel`.
`leadership` decides when tasks are handed off, `running` says what each thread runs, `queue_log` when the queue is
worth a log record.
"""

"""Application threads, and the one leader among them.

The `dispatcher` runs `tasks`, and turns of I/O, on a fixed number of application threads and a standby, after the
pattern Leader/Followers: the thread that leads is the reactor. The `watchdog` takes the leadership from a task that
runs too long. `leadership` decides when tasks are handed off, `running` says what each thread runs, and `queue_log`
when the queue is worth a log record.
"""

"""Application threads, and the one leader among them.

The `dispatcher` runs `tasks`, and turns of I/O, on a fixed number of application threads and a standby, after the
pattern Leader/Followers: the thread that leads is the reactor. The `watchdog` takes the leadership from a task that
runs too long. `leadership` decides when tasks are handed off. The `pool` keeps the threads going; `running` has what
each of them runs. The `task_queue` has the tasks that wait for one; `message_queue` and `event` are what threads, or
greenlets, wait on. `queue_log` decides when a queue is worth a record, `queue_limit` refuses a task that would make it
too long.
"""

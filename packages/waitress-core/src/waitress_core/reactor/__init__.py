"""Readiness, wake-ups and deadlines of many descriptors, in one thread at a time.

`reactor` runs one turn: it calls the handlers that other threads have notified, asks the `poller` for events, and
checks `deadlines`; a `wakeup` ends the wait from another thread. It calls handlers by their descriptors, and knows
nothing of HTTP, WSGI or sockets. `threads` decides which thread runs the turns.
"""

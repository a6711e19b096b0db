"""Readiness, wake-ups and deadlines of many descriptors, in one thread at a time.

`reactor` runs one turn: what other threads have asked for, what the `poller` says is ready, which `deadlines` have
passed; `wakeup` ends its wait. It calls handlers by their descriptors and knows nothing of HTTP, WSGI or sockets. Which
thread runs the turns is the business of `threads`.
"""

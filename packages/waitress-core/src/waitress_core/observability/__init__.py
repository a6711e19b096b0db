"""What the server reports: the access log, slow requests, and counters.

A server that asks for none of it imports none of it, but for the counters.
"""

"""One client, and all of them: from the bytes that arrive to a request, from a response to the bytes that leave.

The `manager` keeps the open connections, the `acceptor` adds to them. A `connection` has a receiving side
(`receiver`: bytes to requests) and a sending side (`sender`, and `outbox` for what the socket does not take); it
gives each request to a task and ends its response. `states` has the tables of both sides, `data_rate` says how slow a
client may be, `overdue` what is done about one that is late, `room` which connections end for others, and `context` is
what all connections share. With the PROXY protocol a client is a `prelude` until its header has arrived.
`request_ids` says which id a request has, for servers that give each one an id.
"""

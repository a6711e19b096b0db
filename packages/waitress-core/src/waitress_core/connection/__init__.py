"""One client, and all of them: from the bytes that arrive to a request, and from a response to the bytes that leave.

`manager` keeps all connections of a server. A `connection` reads from its transport into the parser, gives each
complete request to a task, and sends what the task leaves behind by its `sender` and `outbox`. `states` are the tables
of what may follow what, `data_rate` says how slow a client may be, and `context` is what all connections share.
"""

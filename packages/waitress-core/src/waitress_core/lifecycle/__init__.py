"""How a server starts, drains and ends.

`run` moves one run from state to state; `shutdown` decides when, by the table in `states`. `wiring` makes its parts, as
the settings ask for, and `waiter` is the thread that waits for its end. `descriptors` notices that it can serve nothing
any more, and `figures` reads what it has counted. `observer` says to whom it reports, `notify` reports to systemd.
`signals` decides what a signal asks for: the end, which `end_limit` limits, or one of the things in `requested`. `fork`
abandons a server in a child process.
"""

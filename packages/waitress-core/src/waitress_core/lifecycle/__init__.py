"""How a server starts, drains and ends.

`run` wires reactor, threads and connections for one run, and moves it from state to state; `shutdown` decides when, by
the table in `states`. `signals` decides what a signal asks for: the end, or one of the things in `requested`. `fork`
abandons a server in a child process.
"""

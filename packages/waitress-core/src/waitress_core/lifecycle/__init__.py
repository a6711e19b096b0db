"""How a server starts, drains and ends.

`run` wires reactor, threads and connections for one run, and moves it from state to state; `shutdown` decides when, by
the table in `states`. `signals` asks for the end, and `fork` abandons a server in a child process.
"""

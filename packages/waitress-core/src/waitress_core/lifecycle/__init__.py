"""How a server starts, drains and ends.

`run` wires reactor, threads and connections for one run, and moves it from state to state; `states` says which states
there are and what asks for them.
"""

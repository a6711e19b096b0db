"""Sockets: bind them, accept from them, move bytes.

`listener` is a listening socket; `transport` is a connected one whose errors have become three plain answers. Nothing
above this folder sees an OSError of a client.
"""

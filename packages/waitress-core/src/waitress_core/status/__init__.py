"""The status server: a WSGI application, which a second server of our own serves next to the main one.

`second_server` makes that server, `app` answers. It shows snapshots (`observability.snapshot`) of one worker or of
several: as a page, as JSON (`document`), as `metrics`, as text about threads (`threads_text`), and as two answers to
probes. Everything but `app` is a pure function of those. Imported only where `status_listen` is set.
"""

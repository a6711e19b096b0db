"""Sockets: bind them, accept from them, move bytes.

`binding` opens the listeners of a server, all of them or none; it may inherit them from systemd (`activation`), or from
the server before (`handover`). A `listener` is a socket with `accept`. `transport` is a connected socket, with three
plain answers in place of errors (`errors`): nothing above this folder sees an OSError of a client. `tls` is the same
over TLS, with the certificates of `tls_contexts`; `tls_info` is what a handshake has found out. `proxy_protocol` reads
the header that a proxy may send first.
"""

"""PEP 3333: a request becomes a call of the application, and what the application gives becomes a response.

A `task` does both, on an application thread: it builds the `environ`, applies `proxy_headers`, calls the application
and sends its response. `logged_task` is the same for a server with an access log.
"""

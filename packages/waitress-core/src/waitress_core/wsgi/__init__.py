"""PEP 3333: a request becomes a call of the application, and what the application gives becomes a response.

A `task` does both, on an application thread: it builds the `environ`, lets the proxy policy of `proxy_headers` change
it (`trusted_headers`, and its `proxy_errors`), calls the application and sends its response. Where
there is no standard error, `wsgi.errors` is an `error_stream`. `task_kinds` adds to a task what the settings ask for:
its line in the access log (`logged_task`), an id (`identified_task`), what the PROXY protocol has reported
(`proxied_task`), a limit of its time (`bounded_task`).
"""

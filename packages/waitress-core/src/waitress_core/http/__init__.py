"""Messages, without I/O: a request as far as it has arrived, and the bytes of a response.

`request` holds a head and the body behind it. `response` checks what an application gives (`response_fields`), makes
the head (`response_head`, `dates`) and frames the body. `error_responses` are the answers that the server gives itself.
The parser is a package of its own, `waitress_parser`.
"""

"""Messages, without I/O: a request as far as it has arrived, and the bytes of a response.

`request` holds the head of a request and its body; `request_id` makes the ids of requests. `response` checks the status
and headers that an application gives (`response_fields`), makes the head (`response_head`, `dates`) and frames the
body. `error_responses` has the responses that the server makes itself. The parser is a separate package,
`waitress_parser`.
"""

"""What the server reports about its requests and about itself.

In the log: a line for each request (`access_log`), the id of a request in each record (`request_ids`), requests that
run long (`slow_requests`) or too long (`request_timeout`), and `refusals` under too much load. In figures: `stats` has
the counters, `request_measures` counts and times requests in `histograms`, `process` asks the system about this
process, and a `snapshot` is all of it at one moment.

A server that asks for none of it imports none of it, except the counters.
"""

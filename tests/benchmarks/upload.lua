-- For wrk: each request is a POST with BODY, or else with a body of BODY_BYTES bytes.
wrk.method = "POST"
wrk.body = os.getenv("BODY") or string.rep("x", tonumber(os.getenv("BODY_BYTES")))

-- For wrk: each request is a POST with a body of BODY_BYTES bytes.
wrk.method = "POST"
wrk.body = string.rep("x", tonumber(os.getenv("BODY_BYTES")))

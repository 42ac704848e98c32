-- One op, as JSON, of the same fields that the bus measurements send.
wrk.method = "POST"
wrk.headers["content-type"] = "application/json"
wrk.body = '{"timestamp":"2026-01-15T09:30:00.125Z","endpoint":"/v1/chat","input_summary":"fill 3 pickers for the night shift",'
  .. '"success":true,"duration_ms":57,"output_summary":"3 of 3 filled","source":"mcp","staffer_id":"agent-001",'
  .. '"sig_hash":"000000009e3779b1","event_kind":"expansion","role":"picker","city":"Columbus","state":"OH","count":2}'

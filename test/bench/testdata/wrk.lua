-- The request of all throughput measurements, and the result as one line that
-- a program can read. Arguments: the token, the body's length.
function init(args)
  wrk.method = "POST"
  wrk.headers["Authorization"] = args[1]
  wrk.body = string.rep("x", tonumber(args[2]))
end

function done(summary, latency, requests)
  local e = summary.errors
  io.write(string.format(
    '\nresult {"requests": %d, "bytes": %d, "microseconds": %d, "connect": %d, "read": %d, "write": %d, "status": %d, "timeout": %d}\n',
    summary.requests, summary.bytes, summary.duration, e.connect, e.read, e.write, e.status, e.timeout))
end

-- wrk: the timelines of all users, one after the other, and no answer but 200.
local user = 0
request = function()
  user = (user + 1) % 500
  return wrk.format("GET", "/" .. user)
end
done = function(summary, latency)
  local failed = summary.errors.connect + summary.errors.read + summary.errors.write + summary.errors.status + summary.errors.timeout
  io.write(string.format('{"requests":%d,"us":%d,"p90":%d,"failed":%d}\n', summary.requests, summary.duration, latency:percentile(90), failed))
end

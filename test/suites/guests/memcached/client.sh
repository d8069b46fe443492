memcping --servers=cache
for test in '--test=set' '--test=get' '--test=get --binary'; do
  memcslap --servers=cache --concurrency=10 --execute-number=500 --initial-load=1000 $test
done
# 10 clients set 500 values each, and twice get 500, all of which are there.
memcstat --servers=cache | tee /tmp/stat | grep -E 'cmd_[gs]et|get_misses|total_connections'
grep -Eq '^\s*cmd_get: 10000$' /tmp/stat
grep -Eq '^\s*get_misses: 0$' /tmp/stat

ask() { redis-cli -h "$@"; }

redis-benchmark -h redis -n 20000 -c 50 --threads 2 -q INCR counter
test "$(ask redis GET counter)" = 20000
redis-benchmark -h redis -n 20000 -c 50 -P 16 -q -t set,get,lpush,lrange_100,mset

# One connection per request.
redis-benchmark -h redis -n 500 -c 10 -k 0 -q INCR once
test "$(ask redis GET once)" = 500

# The replica is allocated by this question; it connects to its master by itself.
ask replica PING
ask redis SET written there
until ask replica INFO replication | grep -q master_link_status:up; do
  test "$(ask redis WAIT 1 10000)" = 1
done
# In one connection: WAIT is for what its own connection has written.
test "$(printf 'SET written there\nWAIT 1 10000\n' | ask redis)" = "$(printf 'OK\n1')"
test "$(ask replica GET written)" = there
test "$(ask replica GET counter)" = 20000
ask redis INFO replication | grep '^slave0:.*state=online'

PATH=$(echo /usr/lib/postgresql/*/bin):$PATH
export PGHOST=db PGUSER=postgres PGDATABASE=postgres

# The first connect waits for initdb, for the listener, and for the end of the recovery: the host is ready then.
test "$(psql -Atc 'SELECT 6 * 7')" = 42
pgbench --initialize --quiet

# Two runs: connections that stay, and one for each transaction. No transaction fails, and each leaves a row; a run begins
# by removing those of the one before.
pgbench --client=8 --jobs=2 --transactions=100
test "$(psql -Atc 'SELECT count(*) FROM pgbench_history')" = 800
pgbench --client=4 --jobs=2 --transactions=25 --connect
test "$(psql -Atc 'SELECT count(*) FROM pgbench_history')" = 100

# A query that is cancelled is, by a connection of its own.
psql -Atc 'SET statement_timeout = 100' -c 'SELECT pg_sleep(60)' 2>&1 | grep 'canceling statement'
(
  psql -c 'LISTEN never' -c 'SELECT pg_sleep(60)' 2>&1 | grep 'terminating connection'
) &
until test "$(psql -Atc "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE query LIKE '%pg_sleep(60)' AND pid <> pg_backend_pid()")" = 1; do :; done
wait $!

# 10 MB in, 10 MB out.
psql -qc 'CREATE TABLE lines (line text)'
seq 1 1500000 | psql -qc 'COPY lines FROM STDIN'
test "$(psql -Atc 'COPY (SELECT line FROM lines ORDER BY line::int) TO STDOUT' | md5sum)" = "$(seq 1 1500000 | md5sum)"

# Who asks is seen with the address of its host.
test "$(psql -Atc 'SELECT host(inet_client_addr())')" = "$(getent hosts bench | cut -d' ' -f1)"
test "$(psql -Atc 'SELECT host(inet_server_addr())')" = "$(getent hosts db | cut -d' ' -f1)"

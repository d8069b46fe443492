# An ordinary PostgreSQL with the shop's goods. A function may only write to /tmp, and keeps that while its sandbox lives: where
# there is no database, a new one is made. There is no /dev/shm either.
PATH=$(echo /usr/lib/postgresql/*/bin):$PATH
if [ ! -d /tmp/data ]; then
  rm -rf /tmp/new
  initdb --pgdata=/tmp/new --username=shop --auth=trust --no-sync --no-instructions
  echo 'host all all all trust' >>/tmp/new/pg_hba.conf
  postgres --single -D /tmp/new -c dynamic_shared_memory_type=mmap -c fsync=off postgres <goods.sql
  mv /tmp/new /tmp/data
fi
exec postgres -D /tmp/data -c listen_addresses='*' -c unix_socket_directories=/tmp \
  -c dynamic_shared_memory_type=mmap -c fsync=off

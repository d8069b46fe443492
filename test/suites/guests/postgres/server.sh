# A database of its own at each cold start: a sandbox that is used again has it. There is no /dev/shm, as on Lambda, and nowhere
# but /tmp to write to.
PATH=$(echo /usr/lib/postgresql/*/bin):$PATH
if [ ! -d /tmp/data ]; then
  rm -rf /tmp/new
  initdb --pgdata=/tmp/new --username=postgres --auth=trust --no-sync
  echo 'host all all all trust' >>/tmp/new/pg_hba.conf
  mv /tmp/new /tmp/data
fi
exec postgres -D /tmp/data -c listen_addresses='*' -c unix_socket_directories=/tmp \
  -c dynamic_shared_memory_type=mmap -c fsync=off

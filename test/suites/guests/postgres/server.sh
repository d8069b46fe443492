# A database of its own at each cold start. There is no /dev/shm, as on Lambda, and nowhere but /tmp to write to.
PATH=$(echo /usr/lib/postgresql/*/bin):$PATH
initdb --pgdata=/tmp/data --username=postgres --auth=trust --no-sync
echo 'host all all all trust' >>/tmp/data/pg_hba.conf
exec postgres -D /tmp/data -c listen_addresses='*' -c unix_socket_directories=/tmp \
  -c dynamic_shared_memory_type=mmap -c fsync=off

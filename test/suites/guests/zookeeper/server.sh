# usage: server.sh NUMBER: a ZooKeeper beside a server of errands, one of which will be to kill it.
echo "$1" >/tmp/myid
java=/usr/share/java
java -Xmx200m -XX:TieredStopAtLevel=1 -XX:+UseSerialGC \
  -cp "$java/zookeeper.jar:$java/slf4j-log4j12.jar:$java/log4j-1.2.jar:/var/task" \
  org.apache.zookeeper.server.quorum.QuorumPeerMain /var/task/zoo.cfg &
echo $! >/tmp/pid
exec /usr/bin/python3 errand.py serve

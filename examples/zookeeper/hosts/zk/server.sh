# A ZooKeeper. Its number is that of its host's name. What it knows it gets from the others: a host has no disk that lasts.
echo "${IMAGINARY_NODE_NAME#zk-}" >/tmp/myid
java=/usr/share/java
exec java -Xmx200m -XX:TieredStopAtLevel=1 -XX:+UseSerialGC \
  -cp "$java/zookeeper.jar:$java/slf4j-log4j12.jar:$java/log4j-1.2.jar:/var/task" \
  org.apache.zookeeper.server.quorum.QuorumPeerMain /var/task/zoo.cfg

java=/usr/share/java
exec java -XX:TieredStopAtLevel=1 -XX:+UseSerialGC \
  -cp "$java/zookeeper.jar:$java/slf4j-log4j12.jar:$java/log4j-1.2.jar:/var/task" Client.java

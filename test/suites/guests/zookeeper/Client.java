import java.net.Socket;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.CountDownLatch;
import org.apache.zookeeper.CreateMode;
import org.apache.zookeeper.KeeperException;
import org.apache.zookeeper.Watcher;
import org.apache.zookeeper.ZooDefs;
import org.apache.zookeeper.ZooKeeper;

/** Writes at each server and reads at each other one; then the same without the leader. */
public class Client {
  /** A session that only ever goes to one server. */
  private record Member(String server, ZooKeeper session) {}

  public static void main(String[] arguments) throws Exception {
    List<Member> members = new ArrayList<>();
    // The first allocates zk-1, which allocates the others: they are its quorum.
    for (String server : List.of("zk-1", "zk-2", "zk-3")) members.add(new Member(server, open(server)));

    CountDownLatch heard = new CountDownLatch(1);
    check(members.get(2).session.exists("/zk-1", event -> heard.countDown()) == null, "/zk-1 is there already");
    writeAndRead(members, "");
    heard.await();

    Member leader = leaderOf(members);
    int killed = new ProcessBuilder("/usr/bin/python3", "errand.py", "ask", leader.server, "sh", "-c", "kill -9 $(cat /tmp/pid)")
        .inheritIO().start().waitFor();
    check(killed == 0, "kill: exit " + killed);
    members.remove(leader);
    writeAndRead(members, "-without-" + leader.server);
    System.out.println("leader " + leader.server + ", then " + leaderOf(members).server);
    for (Member member : members) member.session.close();
  }

  private static ZooKeeper open(String server) throws Exception {
    CountDownLatch connected = new CountDownLatch(1);
    ZooKeeper session = new ZooKeeper(server + ":2181", 20_000, event -> {
      if (event.getState() == Watcher.Event.KeeperState.SyncConnected) connected.countDown();
    });
    connected.await();
    return session;
  }

  private static void writeAndRead(List<Member> members, String suffix) throws Exception {
    for (Member writer : members) {
      String path = "/" + writer.server + suffix;
      again(() -> create(writer.session, path));
      for (Member reader : members) {
        again(() -> {
          CompletableFuture<Integer> synced = new CompletableFuture<>();
          reader.session.sync(path, (code, name, context) -> synced.complete(code), null);
          if (synced.get() != 0) throw KeeperException.create(KeeperException.Code.get(synced.get()), path);
          check(new String(reader.session.getData(path, false, null)).equals(path), path);
        });
      }
    }
  }

  private static void create(ZooKeeper session, String path) throws Exception {
    try {
      session.create(path, path.getBytes(), ZooDefs.Ids.OPEN_ACL_UNSAFE, CreateMode.PERSISTENT);
    } catch (KeeperException.NodeExistsException written) {
      // By the attempt whose answer was lost.
    }
  }

  private interface Work {
    void run() throws Exception;
  }

  /** While a leader is elected, servers close their clients' connections. */
  private static void again(Work work) throws Exception {
    while (true) {
      try {
        work.run();
        return;
      } catch (KeeperException.ConnectionLossException lost) {
        Thread.sleep(50);
      }
    }
  }

  private static Member leaderOf(List<Member> members) throws Exception {
    List<Member> leaders = new ArrayList<>();
    for (Member member : members) if (srvr(member.server).contains("Mode: leader")) leaders.add(member);
    check(leaders.size() == 1, leaders.size() + " leaders");
    return leaders.get(0);
  }

  private static String srvr(String server) throws Exception {
    try (Socket socket = new Socket(server, 2181)) {
      socket.getOutputStream().write("srvr".getBytes());
      return new String(socket.getInputStream().readAllBytes());
    }
  }

  private static void check(boolean right, String what) {
    if (!right) throw new IllegalStateException(what);
  }
}

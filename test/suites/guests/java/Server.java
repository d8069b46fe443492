import com.sun.net.httpserver.HttpServer;
import java.net.InetSocketAddress;
import java.nio.ByteBuffer;
import java.nio.channels.SelectionKey;
import java.nio.channels.Selector;
import java.nio.channels.ServerSocketChannel;
import java.nio.channels.SocketChannel;
import java.util.concurrent.Executors;

/** Port 8000: HTTP, answers a body with itself. Port 7000: an NIO echo server, one selector for all. */
public class Server {
  public static void main(String[] arguments) throws Exception {
    HttpServer http = HttpServer.create(new InetSocketAddress(8000), 0);
    http.createContext("/", exchange -> {
      byte[] body = exchange.getRequestBody().readAllBytes();
      exchange.getResponseHeaders().add("Peer", exchange.getRemoteAddress().getAddress().getHostAddress());
      exchange.sendResponseHeaders(200, body.length);
      exchange.getResponseBody().write(body);
      exchange.close();
    });
    http.setExecutor(Executors.newFixedThreadPool(4));
    http.start();

    Selector selector = Selector.open();
    ServerSocketChannel listener = ServerSocketChannel.open();
    listener.bind(new InetSocketAddress(7000));
    listener.configureBlocking(false);
    listener.register(selector, SelectionKey.OP_ACCEPT);
    while (true) {
      selector.select();
      for (SelectionKey key : selector.selectedKeys()) {
        if (key.isAcceptable()) {
          SocketChannel accepted = listener.accept();
          if (accepted == null) continue;
          accepted.configureBlocking(false);
          accepted.register(selector, SelectionKey.OP_READ, ByteBuffer.allocate(65536));
        } else {
          echo(key);
        }
      }
      selector.selectedKeys().clear();
    }
  }

  /** Reads while there is room, writes while there is something, and closes when the other side has. */
  private static void echo(SelectionKey key) throws Exception {
    SocketChannel channel = (SocketChannel) key.channel();
    ByteBuffer buffer = (ByteBuffer) key.attachment();
    boolean end = key.isReadable() && channel.read(buffer) < 0;
    buffer.flip();
    channel.write(buffer);
    boolean rest = buffer.hasRemaining();
    buffer.compact();
    if (end && !rest) channel.close();
    else key.interestOps((rest ? SelectionKey.OP_WRITE : 0) | (buffer.hasRemaining() && !end ? SelectionKey.OP_READ : 0));
  }
}

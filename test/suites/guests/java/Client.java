import java.net.InetAddress;
import java.net.InetSocketAddress;
import java.net.Socket;
import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse;
import java.nio.ByteBuffer;
import java.nio.channels.SelectionKey;
import java.nio.channels.Selector;
import java.nio.channels.SocketChannel;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Random;
import java.util.concurrent.CompletableFuture;

/** What each client sends comes back as it was; the addresses are virtual ones. */
public class Client {
  private static final int SIZE = 200_000;

  public static void main(String[] arguments) throws Exception {
    nio(20);
    blocking();
    http(40);
    check(InetAddress.getLocalHost().getHostName().equals("client"), InetAddress.getLocalHost());
    check(InetAddress.getByName("server").getCanonicalHostName().equals("server"), "reverse lookup");
    System.out.println("20 NIO streams, 1 blocking one, 40 HTTP answers");
  }

  private static byte[] body(int number) {
    byte[] bytes = new byte[SIZE];
    new Random(number).nextBytes(bytes);
    return bytes;
  }

  private static void check(boolean right, Object what) {
    if (!right) throw new IllegalStateException(String.valueOf(what));
  }

  private record Stream(int number, ByteBuffer out, ByteBuffer in) {}

  /** All connect at once without blocking; the first of them allocates the host. */
  private static void nio(int count) throws Exception {
    Selector selector = Selector.open();
    for (int number = 0; number < count; number++) {
      SocketChannel channel = SocketChannel.open();
      channel.configureBlocking(false);
      Stream stream = new Stream(number, ByteBuffer.wrap(body(number)), ByteBuffer.allocate(SIZE + 1));
      boolean connected = channel.connect(new InetSocketAddress("server", 7000));
      channel.register(selector, connected ? SelectionKey.OP_WRITE | SelectionKey.OP_READ : SelectionKey.OP_CONNECT, stream);
    }
    while (count > 0) {
      selector.select();
      for (SelectionKey key : selector.selectedKeys()) {
        SocketChannel channel = (SocketChannel) key.channel();
        Stream stream = (Stream) key.attachment();
        if (key.isConnectable()) {
          check(channel.finishConnect(), "finishConnect");
          check(address(channel).equals(InetAddress.getByName("server")), address(channel));
          key.interestOps(SelectionKey.OP_WRITE | SelectionKey.OP_READ);
          continue;
        }
        if (key.isWritable()) {
          channel.write(stream.out);
          if (!stream.out.hasRemaining()) {
            channel.shutdownOutput();
            key.interestOps(SelectionKey.OP_READ);
          }
        }
        if (key.isReadable() && channel.read(stream.in) < 0) {
          check(stream.in.flip().equals(ByteBuffer.wrap(body(stream.number))), "stream " + stream.number);
          channel.close();
          count--;
        }
      }
      selector.selectedKeys().clear();
    }
  }

  private static InetAddress address(SocketChannel channel) throws Exception {
    return ((InetSocketAddress) channel.getRemoteAddress()).getAddress();
  }

  private static void blocking() throws Exception {
    try (Socket socket = new Socket()) {
      socket.connect(new InetSocketAddress("server", 7000), 20_000);
      byte[] sent = Arrays.copyOf(body(0), 1000);
      socket.getOutputStream().write(sent);
      check(Arrays.equals(socket.getInputStream().readNBytes(1000), sent), "blocking");
    }
  }

  private static void http(int count) throws Exception {
    HttpClient client = HttpClient.newHttpClient();
    List<CompletableFuture<HttpResponse<byte[]>>> answers = new ArrayList<>();
    for (int number = 0; number < count; number++) {
      HttpRequest.BodyPublisher body = HttpRequest.BodyPublishers.ofByteArray(body(number));
      HttpRequest request = HttpRequest.newBuilder(URI.create("http://server:8000/")).POST(body).build();
      answers.add(client.sendAsync(request, HttpResponse.BodyHandlers.ofByteArray()));
    }
    String own = InetAddress.getByName("client").getHostAddress();
    for (int number = 0; number < count; number++) {
      HttpResponse<byte[]> answer = answers.get(number).join();
      check(answer.statusCode() == 200 && Arrays.equals(answer.body(), body(number)), "answer " + number);
      String peer = answer.headers().firstValue("Peer").orElse("");
      check(peer.equals(own), peer);
    }
  }
}

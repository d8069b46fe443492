import java.net.*;
import java.util.*;

public class Shown {
  public static void main(String[] arguments) throws Exception {
    List<String> shown = new ArrayList<>();
    for (NetworkInterface at : Collections.list(NetworkInterface.getNetworkInterfaces()))
      for (InetAddress address : Collections.list(at.getInetAddresses()))
        shown.add(address.getHostAddress() + (address.isLinkLocalAddress() ? "(link-local)" : ""));
    System.out.println("java: " + String.join(" ", shown));
    // As programs do that want their own address, such as those of Hazelcast and Akka.
    System.out.println("java own: " + InetAddress.getLocalHost().getHostAddress());
  }
}

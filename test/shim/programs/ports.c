/* ports ADDRESS: listeners of the host itself; ADDRESS is its own virtual address (or, natively, any own address). */
#include "case.h"

static int on = 1;

static int listener(const char *ip, int port, bool reuse_port) {
  int fd = tcp(SOCK_CLOEXEC);
  CHECK(setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on) == 0);
  if (reuse_port) CHECK(setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &on, sizeof on) == 0);
  if (bind_to(fd, at(ip, port)) != 0 || listen(fd, 16) != 0) {
    int error = errno;
    close(fd);
    errno = error;
    return -1;
  }
  return fd;
}

/* Connects from this process to itself and compares what both ends say. */
static void talk(int listening, struct sockaddr_in to, const char *from) {
  int client = tcp(0);
  char text[64];
  struct sockaddr_in peer = {0};
  socklen_t size = sizeof peer;
  CHECK(connect_to(client, to) == 0, "%s", show(&to, text));
  int server = accept(listening, (struct sockaddr *)&peer, &size);
  CHECK(server >= 0 && size == sizeof peer);
  CHECK(same(name_of(client, getpeername), to));
  CHECK(same(name_of(server, getsockname), to));
  CHECK(same(peer, name_of(client, getsockname)) && same(peer, name_of(server, getpeername)));
  if (from) CHECK(peer.sin_addr.s_addr == inet_addr(from), "%s", show(&peer, text));
  CHECK(send(client, "x", 1, 0) == 1 && recv(server, text, sizeof text, 0) == 1);
  close(client);
  close(server);
}

static void refused(struct sockaddr_in to) {
  int fd = tcp(0);
  CHECK(connect_to(fd, to) == -1 && errno == ECONNREFUSED);
  close(fd);
}

/* As the guest bound it; it answers at its own addresses and no others. */
static void scopes(const char *own, int port) {
  int any = listener("0.0.0.0", port, false);
  CHECK(any >= 0 && same(name_of(any, getsockname), at("0.0.0.0", port)));
  talk(any, at("127.0.0.1", port), "127.0.0.1");
  talk(any, at(own, port), own);
  close(any);
  int loop = listener("127.0.0.1", port + 1, false);
  CHECK(loop >= 0 && same(name_of(loop, getsockname), at("127.0.0.1", port + 1)));
  talk(loop, at("127.0.0.1", port + 1), "127.0.0.1");
  refused(at(own, port + 1));
  close(loop);
  int virtual = listener(own, port + 2, false);
  CHECK(virtual >= 0 && same(name_of(virtual, getsockname), at(own, port + 2)));
  talk(virtual, at(own, port + 2), own);
  refused(at("127.0.0.1", port + 2));
  close(virtual);
}

int main(int argc, char **argv) {
  if (argc != 2) return 2;
  const char *own = argv[1];
  char text[64];
  scopes(own, 6100);
  scopes(own, 610);
  refused(at("127.0.0.1", 6999));
  refused(at(own, 6999));
  refused(at(own, 699));

  /* A port is taken once, unless it is shared on purpose. */
  int first = listener("0.0.0.0", 620, false);
  CHECK(first >= 0);
  CHECK(listener("0.0.0.0", 620, false) == -1 && errno == EADDRINUSE);
  CHECK(listener("0.0.0.0", 620, true) == -1 && errno == EADDRINUSE);
  CHECK(listen(first, 32) == 0, "listen again, as nginx does");
  int shared = listener("0.0.0.0", 621, true), shared2 = listener("0.0.0.0", 621, true);
  CHECK(shared >= 0 && shared2 >= 0);
  CHECK(bind_to(first, at("0.0.0.0", 622)) == -1 && errno == EINVAL);

  /* The port that the shim uses for 623 is an ordinary port to the guest. */
  int moved = listener("0.0.0.0", 64512 + 623, false), low = listener("0.0.0.0", 623, false);
  CHECK(moved >= 0 && low >= 0);
  talk(moved, at(own, 64512 + 623), 0);
  talk(low, at(own, 623), 0);
  int low2 = listener("0.0.0.0", 624, false), moved2 = listener("0.0.0.0", 64512 + 624, false);
  CHECK(low2 >= 0 && moved2 >= 0);
  talk(low2, at("127.0.0.1", 624), 0);
  talk(moved2, at("127.0.0.1", 64512 + 624), 0);

  /* A port of the kernel's choice, bound or not. */
  int chosen = listener("0.0.0.0", 0, false), unbound = tcp(0);
  int port = ntohs(name_of(chosen, getsockname).sin_port);
  CHECK(port >= 1024);
  talk(chosen, at(own, port), 0);
  CHECK(listen(unbound, 1) == 0);
  struct sockaddr_in name = name_of(unbound, getsockname);
  CHECK(name.sin_addr.s_addr == 0 && name.sin_port, "%s", show(&name, text));
  talk(unbound, at("127.0.0.1", ntohs(name.sin_port)), 0);

  /* A client that binds itself. */
  int client = tcp(0);
  CHECK(bind_to(client, at(own, 6200)) == 0 && connect_to(client, at(own, 620)) == 0);
  CHECK(same(name_of(client, getsockname), at(own, 6200)));
  struct sockaddr_in peer;
  socklen_t size = sizeof peer;
  CHECK(accept(first, (struct sockaddr *)&peer, &size) >= 0 && same(peer, at(own, 6200)), "%s", show(&peer, text));

  CHECK(bind_to(tcp(0), at("192.0.2.1", 80)) == -1 && errno == EADDRNOTAVAIL);
  CHECK(bind_to(tcp(0), at("100.64.9.9", 80)) == -1 && errno == EADDRNOTAVAIL);

  /* Short buffers get as much as fits, and are told the full size. */
  char small[8] = {0};
  size = 4;
  CHECK(getsockname(first, (struct sockaddr *)small, &size) == 0 && size == sizeof peer && small[3] && !small[4]);
  say("ok");
  return 0;
}

#define _GNU_SOURCE
#include "netns.h"

#include <arpa/inet.h>
#include <errno.h>
#include <linux/fib_rules.h>
#include <linux/if_link.h>
#include <linux/ip.h>
#include <linux/netfilter/nfnetlink.h>
#include <linux/netfilter/nfnetlink_conntrack.h>
#include <linux/rtnetlink.h>
#include <linux/veth.h>
#include <net/if.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define SILENCE_PRIORITY 10

/* One message, of which the attributes follow the header that its type has. */
struct request {
  struct nlmsghdr header;
  char body[1024];
};

static void begin(struct request *request, int type, int flags, const void *head, size_t size) {
  memset(request, 0, sizeof *request);
  request->header.nlmsg_type = (uint16_t)type;
  request->header.nlmsg_flags = (uint16_t)(NLM_F_REQUEST | NLM_F_ACK | flags);
  request->header.nlmsg_len = (uint32_t)(NLMSG_HDRLEN + NLMSG_ALIGN(size));
  memcpy(request->body, head, size);
}

static void *end_of(struct request *request) { return (char *)request + request->header.nlmsg_len; }

/* Everything that is put in is small, and its number is fixed: the body has room. */
static void append(struct request *request, const void *data, size_t size) {
  memcpy(end_of(request), data, size);
  request->header.nlmsg_len += (uint32_t)NLMSG_ALIGN(size);
}

static void put(struct request *request, int type, const void *data, size_t size) {
  struct rtattr head = {.rta_type = (unsigned short)type, .rta_len = (unsigned short)RTA_LENGTH(size)};
  append(request, &head, sizeof head);
  if (size > 0) append(request, data, size);
}

static void put_number(struct request *request, int type, uint32_t value) { put(request, type, &value, sizeof value); }
static void put_text(struct request *request, int type, const char *text) {
  put(request, type, text, strlen(text) + 1);
}

static struct rtattr *open_nest(struct request *request, int type) {
  struct rtattr *nest = end_of(request);
  put(request, type, NULL, 0);
  return nest;
}

static void close_nest(struct request *request, struct rtattr *nest) {
  nest->rta_len = (unsigned short)((char *)end_of(request) - (char *)nest);
}

/* Sends it and waits for the kernel's word. A message of data that comes first goes to `reply`. */
static bool ask(int fd, struct request *request, struct request *reply, const char *what) {
  char buffer[16384];
  if (send(fd, request, request->header.nlmsg_len, 0) < 0) return fail(errno, "%s", what);
  for (;;) {
    ssize_t length = recv(fd, buffer, sizeof buffer, 0);
    if (length < 0 && errno == EINTR) continue;
    if (length < (ssize_t)sizeof(struct nlmsghdr)) return fail(errno, "%s", what);
    const struct nlmsghdr *header = (const struct nlmsghdr *)buffer;
    if (header->nlmsg_type == NLMSG_ERROR) {
      int error = -((const struct nlmsgerr *)NLMSG_DATA(header))->error;
      return error == 0 || fail(error, "%s", what);
    }
    if (reply) memcpy(reply, buffer, (size_t)length < sizeof *reply ? (size_t)length : sizeof *reply);
  }
}

static bool index_of(const struct im_space *space, const char *name, unsigned *index) {
  struct ifinfomsg link = {.ifi_family = AF_UNSPEC};
  struct request request, reply;
  begin(&request, RTM_GETLINK, 0, &link, sizeof link);
  put_text(&request, IFLA_IFNAME, name);
  if (!ask(space->links, &request, &reply, name)) return false;
  *index = (unsigned)((const struct ifinfomsg *)reply.body)->ifi_index;
  return true;
}

/* No IPv6 address by itself: neither has Lambda, and its announcements would be the only traffic of an idle host. */
static void put_no_ipv6(struct request *request) {
  uint8_t none = IN6_ADDR_GEN_MODE_NONE;
  struct rtattr *all = open_nest(request, IFLA_AF_SPEC), *family = open_nest(request, AF_INET6);
  put(request, IFLA_INET6_ADDR_GEN_MODE, &none, sizeof none);
  close_nest(request, family);
  close_nest(request, all);
}

/* Machines whose kernel has no IPv6 refuse it: there is nothing to switch off there. */
static bool quiet_ipv6(const struct im_space *space, const char *name) {
  struct ifinfomsg link = {.ifi_family = AF_UNSPEC};
  struct request request;
  begin(&request, RTM_SETLINK, 0, &link, sizeof link);
  put_text(&request, IFLA_IFNAME, name);
  put_no_ipv6(&request);
  return ask(space->links, &request, NULL, name) || true;
}

bool links_add(const struct im_space *a, const char *a_name, const struct im_space *b, const char *b_name) {
  struct ifinfomsg down = {.ifi_family = AF_UNSPEC};
  struct request request;
  begin(&request, RTM_NEWLINK, NLM_F_CREATE | NLM_F_EXCL, &down, sizeof down);
  put_text(&request, IFLA_IFNAME, a_name);
  struct rtattr *info = open_nest(&request, IFLA_LINKINFO);
  put_text(&request, IFLA_INFO_KIND, "veth");
  struct rtattr *data = open_nest(&request, IFLA_INFO_DATA), *peer = open_nest(&request, VETH_INFO_PEER);
  append(&request, &down, sizeof down);
  put_text(&request, IFLA_IFNAME, b_name);
  put_number(&request, IFLA_NET_NS_FD, (uint32_t)b->fd);
  close_nest(&request, peer);
  close_nest(&request, data);
  close_nest(&request, info);
  if (!ask(a->links, &request, NULL, "a pair of links")) return false;
  return quiet_ipv6(a, a_name) && quiet_ipv6(b, b_name) && links_set_up(a, a_name, 0) && links_set_up(b, b_name, 0);
}

bool links_set_up(const struct im_space *space, const char *name, unsigned queue) {
  struct ifinfomsg link = {.ifi_family = AF_UNSPEC, .ifi_flags = IFF_UP, .ifi_change = IFF_UP};
  struct request request;
  begin(&request, RTM_SETLINK, 0, &link, sizeof link);
  put_text(&request, IFLA_IFNAME, name);
  if (queue > 0) put_number(&request, IFLA_TXQLEN, queue);
  return ask(space->links, &request, NULL, name);
}

/* Of the link, by netlink: /proc/sys is read-only in many containers. */
bool links_set_forwarding(const struct im_space *space, const char *name) {
  struct ifinfomsg link = {.ifi_family = AF_UNSPEC};
  struct request request;
  begin(&request, RTM_SETLINK, 0, &link, sizeof link);
  put_text(&request, IFLA_IFNAME, name);
  struct rtattr *all = open_nest(&request, IFLA_AF_SPEC), *family = open_nest(&request, AF_INET);
  struct rtattr *conf = open_nest(&request, IFLA_INET_CONF);
  put_number(&request, IPV4_DEVCONF_FORWARDING, 1);
  put_number(&request, IPV4_DEVCONF_RP_FILTER, 0);
  put_number(&request, IPV4_DEVCONF_SEND_REDIRECTS, 0);
  close_nest(&request, conf);
  close_nest(&request, family);
  close_nest(&request, all);
  return ask(space->links, &request, NULL, name);
}

static bool parse_prefix(const char *text, struct in_addr *address, uint8_t *length) {
  char copy[32];
  snprintf(copy, sizeof copy, "%s", text);
  char *slash = strchr(copy, '/');
  if (slash) *slash = '\0';
  *length = slash ? (uint8_t)atoi(slash + 1) : 32;
  return inet_pton(AF_INET, copy, address) == 1 || fail(0, "'%s' is no address", text);
}

bool links_change_address(const struct im_space *space, bool add, const char *name, const char *address) {
  struct in_addr ip;
  struct ifaddrmsg head = {.ifa_family = AF_INET};
  struct request request;
  if (!parse_prefix(address, &ip, &head.ifa_prefixlen) || !index_of(space, name, &head.ifa_index)) return false;
  begin(&request, add ? RTM_NEWADDR : RTM_DELADDR, add ? NLM_F_CREATE | NLM_F_EXCL : 0, &head, sizeof head);
  put(&request, IFA_LOCAL, &ip, sizeof ip);
  put(&request, IFA_ADDRESS, &ip, sizeof ip);
  return ask(space->links, &request, NULL, address);
}

bool links_change_route(const struct im_space *space, bool add, const char *destination, const char *name,
                        const char *gateway, unsigned table) {
  struct in_addr to, by;
  unsigned index;
  struct rtmsg head = {.rtm_family = AF_INET,
                       .rtm_table = RT_TABLE_UNSPEC,
                       .rtm_protocol = RTPROT_BOOT,
                       .rtm_scope = gateway ? RT_SCOPE_UNIVERSE : RT_SCOPE_LINK,
                       .rtm_type = RTN_UNICAST,
                       .rtm_flags = gateway ? RTNH_F_ONLINK : 0};
  struct request request;
  if (!parse_prefix(destination, &to, &head.rtm_dst_len) || !index_of(space, name, &index)) return false;
  if (gateway && inet_pton(AF_INET, gateway, &by) != 1) return fail(0, "'%s' is no address", gateway);
  /* In the place of one that is there: the link of an earlier one may still be on its way out. */
  begin(&request, add ? RTM_NEWROUTE : RTM_DELROUTE, add ? NLM_F_CREATE | NLM_F_REPLACE : 0, &head, sizeof head);
  put(&request, RTA_DST, &to, sizeof to);
  put_number(&request, RTA_OIF, index);
  put_number(&request, RTA_TABLE, table ? table : RT_TABLE_MAIN);
  if (gateway) put(&request, RTA_GATEWAY, &by, sizeof by);
  return ask(space->links, &request, NULL, destination);
}

bool links_change_rule(const struct im_space *space, bool add, unsigned priority, const char *name, unsigned table) {
  struct fib_rule_hdr head = {.family = AF_INET, .action = FR_ACT_TO_TBL};
  struct request request;
  begin(&request, add ? RTM_NEWRULE : RTM_DELRULE, add ? NLM_F_CREATE | NLM_F_EXCL : 0, &head, sizeof head);
  put_number(&request, FRA_PRIORITY, priority);
  if (name) put_text(&request, FRA_IIFNAME, name);
  put_number(&request, FRA_TABLE, table ? table : RT_TABLE_MAIN);
  return ask(space->links, &request, NULL, "a rule for routes");
}

static bool change_black_hole(const struct im_space *space, bool add, const char *name, const char *address) {
  struct fib_rule_hdr head = {.family = AF_INET, .action = FR_ACT_BLACKHOLE};
  struct in_addr to;
  struct request request;
  if (address && !parse_prefix(address, &to, &head.dst_len)) return false;
  begin(&request, add ? RTM_NEWRULE : RTM_DELRULE, add ? NLM_F_CREATE | NLM_F_EXCL : 0, &head, sizeof head);
  put_number(&request, FRA_PRIORITY, SILENCE_PRIORITY);
  if (name) put_text(&request, FRA_IIFNAME, name);
  if (address) put(&request, FRA_DST, &to, sizeof to);
  return ask(space->links, &request, NULL, name ? name : address);
}

bool links_silence(const struct im_space *space, bool add, const char *name, const char *address) {
  bool from = change_black_hole(space, add, name, NULL);
  return change_black_hole(space, add, NULL, address) && from;
}

static bool forget(void *unused) {
  (void)unused;
  struct nfgenmsg all = {.nfgen_family = AF_UNSPEC, .version = NFNETLINK_V0};
  struct request request;
  int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_NETFILTER);
  if (fd < 0) return fail(errno, "netlink");
  begin(&request, NFNL_SUBSYS_CTNETLINK << 8 | IPCTNL_MSG_CT_DELETE, 0, &all, sizeof all);
  bool ok = ask(fd, &request, NULL, "connection tracking");
  return close(fd), ok;
}

bool links_forget_mappings(const struct im_space *space) { return inside_run(space, forget, NULL); }

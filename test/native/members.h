/*
 * For tests of the connector without Node.js: members in one process, what their connectors tell, and what shims and
 * guests do. One member, `WEB`, asks for connections to another one, `API`.
 */
#ifndef IMAGINARY_TEST_MEMBERS_H
#define IMAGINARY_TEST_MEMBERS_H

#include "contract/abi/abi.h"
#include "connector/internal.h"

#define ALIAS_BASE 0x7f3e0000u /* 127.62.0.0 */
#define HERE 0x7f000001u
#define WEB 0x64400001u /* 100.64.0.1 */
#define API 0x64400002u
#define CHECK(condition) ((condition) ? (void)0 : check_failed(#condition, __FILE__, __LINE__))

void check_failed(const char *what, const char *file, int line);

/* ---- what the connectors tell ---- */

struct told {
  enum im_event event;
  uint32_t subject;
  int32_t detail;
};
struct member {
  struct im_connector *connector;
  int events[2];
};

void start(struct member *member);
void end(struct member *member);
struct told next(struct member *member);
struct told expect(struct member *member, enum im_event event, uint32_t subject);
/* Nothing has been told that was not looked at. */
bool is_quiet(const struct member *member);

/* ---- what JavaScript does ---- */

extern uint32_t last_id;

struct im_opening opening_to(const struct sockaddr_in *to, enum im_purpose purpose, uint32_t peer, const char *says,
                             const char *hears);
/* Their ids are last_id - 1 and last_id. */
void open_both(struct member *a, struct im_opening x, struct member *b, struct im_opening y);
/* A listener of this process, at a free port. */
int listen_at(uint32_t ip, int most, struct sockaddr_in *address);

/* ---- what shims and guests do ---- */

/* Given back: told as an event, with the port. */
#define LATE 99

/* A request with a reply socket, whose other end this is; -1: it was not taken, and nothing has been said. */
int begin(struct member *member, struct im_request request);
/* The descriptor that comes back, or minus the errno. */
int finish(int end, uint16_t *port);
int ask(struct member *member, struct im_request request, uint16_t *port);
struct im_request connect_request(uint16_t port, uint16_t bound, uint32_t flags);
/* The guest's side of an accept: the signal connection, then the one that it stands for. */
int accept_handoff(struct member *member, int listener, uint16_t *port);
bool is_over(int fd);
int descriptors(void);
/* Waits until there are no more than before. */
void no_more_descriptors(int before);

#endif

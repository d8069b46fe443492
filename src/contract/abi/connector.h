/* What the connector (src/native/connector) and TypeScript tell each other, in numbers. */
#ifndef IMAGINARY_CONTRACT_CONNECTOR_H
#define IMAGINARY_CONTRACT_CONNECTOR_H

/* What a connection is for. */
enum im_purpose {
  IM_POOL_OUT = 0,       /* kept ready for guests of this host */
  IM_POOL_IN = 1,        /* kept ready by the other side */
  IM_GIVE = 2,           /* for the guest that waits at `reply_to` */
  IM_DELIVER = 3,        /* for the guest here that listens on `port` */
  IM_HAND = 4,           /* for JavaScript: IM_EVENT_OPENED's detail is the descriptor */
  IM_SIGNALLING_OUT = 5, /* stays here: a signalling channel for calls of this side */
  IM_SIGNALLING_IN = 6,  /* stays here: a signalling channel for calls of the other side */
};

/* Reported to JavaScript, with a subject and a detail. */
enum im_event {
  IM_EVENT_OPENED = 0,           /* id; connected, the other side has proved itself; detail: tries, or see IM_HAND */
  IM_EVENT_FAILED = 1,           /* id; detail: errno */
  IM_EVENT_USED = 2,             /* peer; few are left in its pool */
  IM_EVENT_LOST = 3,             /* peer; one of its pool ended unused */
  IM_EVENT_REFUSED = 4,          /* peer; detail: the port, on which no guest listens */
  IM_EVENT_SILENT = 5,           /* peer; it does not acknowledge what its pool sends; the pool has been dropped */
  IM_EVENT_FILLED = 6,           /* id; none of them is under way any more; detail: how many were ready */
  IM_EVENT_SIGNALLING_ENDED = 7, /* peer; there is no signalling channel to it any more */
  IM_EVENT_MISSED = 8, /* peer; nothing was ready for guests, which were connected over the channel; rate-limited */
};

#endif

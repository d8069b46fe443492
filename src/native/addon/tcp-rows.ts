/** The columns of `NativeAddon.tcpSockets`, as diag.c writes them. What they mean: index.d.ts. */
export const TCP_COLUMNS = {
  local: 0,
  localPort: 1,
  remote: 2,
  remotePort: 3,
  state: 4,
  sendQueue: 5,
  receiveQueue: 6,
  timer: 7,
  inode: 8,
  bytes: 9,
  cookie: 10,
  lastAck: 11,
  retransmitted: 12,
} as const;

/** Numbers in a row. */
export const TCP_ROW = 13;

/** The Node-API addon (src/native/addon.c), loaded from beside the bundle: `native.node`. */
export interface NativeAddon {
  /**
   * Binds a Unix datagram socket at `path` (mode 0600, an existing file is replaced) and reads it on a thread of its
   * own. `onMessage` is called on the JavaScript thread for each datagram with its bytes and the descriptors that came along (all
   * CLOEXEC; the callee owns them). Datagrams of another uid than our own are dropped (SO_PASSCRED).
   * @throws Error with `code` (errno name) when the socket cannot be bound
   */
  openShimSocket(path: string, onMessage: (message: Buffer, descriptors: number[]) => void): ShimSocket;
  /** Sends one message with descriptors on a Unix socket, without blocking, then closes `fd`. False: the other side is gone. */
  reply(fd: number, message: Uint8Array, descriptors: readonly number[]): boolean;
  /**
   * Sends one UDP datagram from a socket that came with a message, to a real address and port and, unless `source` is 0, from that
   * address; without blocking. Does not close `fd`. False: the kernel did not take it.
   */
  sendDatagram(fd: number, data: Uint8Array, address: number, port: number, source: number): boolean;
  /** Closes a descriptor that came with a message. */
  closeDescriptor(fd: number): void;
  /** Creates (or opens) a file of exactly `size` bytes, mode 0600, and maps it shared, read-write. */
  mapFile(path: string, size: number): ArrayBuffer;
  /** A pipe (both ends CLOEXEC): [read end, write end]. */
  pipe(): [number, number];
  /**
   * Starts a program in a session of its own, with `/dev/null` as its input. `environment`: `NAME=value` strings. Calls
   * `onExit` once, with its exit code or with the number of the signal that ended it.
   * @returns its process number
   * @throws Error with `code` (errno name) and `syscall` when it cannot be started
   */
  spawn(
    file: string,
    args: readonly string[],
    environment: readonly string[],
    cwd: string,
    output: number,
    errors: number,
    onExit: (code: number | null, signal: number | null) => void,
  ): number;
  /**
   * The TCP sockets of this network namespace: those in TIME_WAIT, or all others. Ten numbers a row: local address and port, remote
   * address and port (IPv4 as an unsigned integer, also when mapped into IPv6; 0: any; -1: another IPv6 address), state, bytes
   * not acknowledged, bytes not read (of a listener: connections not accepted), milliseconds left in TIME_WAIT, inode (0:
   * no descriptor), bytes moved so far (acknowledged plus received). Null where the kernel has no sock_diag.
   */
  tcpSockets(timeWait: boolean): Float64Array | null;
}
export interface ShimSocket {
  /** Stops the thread, closes and unlinks the socket. */
  close(): void;
  /** From now on the open socket alone does not keep the process alive. */
  unref(): void;
}

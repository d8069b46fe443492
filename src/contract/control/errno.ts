/**
 * The errors that an allocation or a connection can end with, as TCP would name them: Linux numbers, the same on x86_64
 * and arm64. A limit of the cluster is ENOBUFS and not EAGAIN: EAGAIN means in the shim that the reply follows, and
 * Python takes a socket that reports it for one that is connected.
 */
export const ERRNO = {
  ECONNREFUSED: 111,
  ETIMEDOUT: 110,
  EHOSTUNREACH: 113,
  ENETUNREACH: 101,
  ENOBUFS: 105,
} as const;
export type ConnectErrno = keyof typeof ERRNO;

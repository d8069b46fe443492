/** The errors that an allocation or a connection can end with, as TCP would name them. */
export type ConnectErrno = 'ECONNREFUSED' | 'ETIMEDOUT' | 'EHOSTUNREACH' | 'ENETUNREACH';

/** Linux numbers, the same on x86_64 and arm64. */
export const ERRNO: Record<ConnectErrno, number> = {
  ECONNREFUSED: 111,
  ETIMEDOUT: 110,
  EHOSTUNREACH: 113,
  ENETUNREACH: 101,
};

/** The server name in a TLS client's first record (RFC 8446, 4.1.2; RFC 6066, 3), without decryption. */

const CLIENT_HELLO = 1;
const SERVER_NAME = 0;
const HOST_NAME = 0;
const RECORD_HEADER = 5;
const RANDOM = 32;

/** Lower case; undefined: it is no ClientHello, it names none, or it does not fit into one record. */
export function serverNameOf(record: Uint8Array): string | undefined {
  const bytes = Buffer.from(record.buffer, record.byteOffset, record.byteLength);
  let at = RECORD_HEADER;
  let end = bytes.length;
  const number = (size: 1 | 2 | 3) => {
    if (at + size > end) throw new RangeError('cut off');
    at += size;
    return bytes.readUIntBE(at - size, size);
  };
  const skip = (size: number) => {
    if (at + size > end) throw new RangeError('cut off');
    at += size;
  };
  try {
    if (number(1) !== CLIENT_HELLO) return undefined;
    const size = number(3);
    if (at + size > end) return undefined;
    end = at + size;
    skip(2 + RANDOM);
    skip(number(1)); // session
    skip(number(2)); // cipher suites
    skip(number(1)); // compression methods
    const extensions = number(2);
    if (at + extensions > end) return undefined;
    end = at + extensions;
    while (at < end) {
      const type = number(2);
      const length = number(2);
      if (type !== SERVER_NAME) {
        skip(length);
        continue;
      }
      skip(2);
      if (number(1) !== HOST_NAME) return undefined;
      const name = number(2);
      skip(name);
      return bytes
        .subarray(at - name, at)
        .toString('latin1')
        .toLowerCase()
        .replace(/\.$/, '');
    }
  } catch (error) {
    if (!(error instanceof RangeError)) throw error;
  }
  return undefined;
}

/** Which of them has that name: one that says so itself, before one whose wildcard stands for its first label. */
export function withName<T extends { readonly serverNames: readonly string[] }>(
  all: readonly T[],
  name: string,
): T | undefined {
  const wildcard = name.replace(/^[^.]+/, '*');
  return (
    all.find(({ serverNames }) => serverNames.includes(name)) ??
    all.find(({ serverNames }) => serverNames.includes(wildcard))
  );
}

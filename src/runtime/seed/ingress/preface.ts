/** The header of the PROXY protocol, version 2 (https://www.haproxy.org/download/3.0/doc/proxy-protocol.txt, section 2.2). */
import type { Endpoint } from '../../../contract/peer/peer-messages';

const SIGNATURE = Buffer.from('0d0a0d0a000d0a515549540a', 'hex');
const VERSION_2_PROXY = 0x21;
const TCP_OVER_IPV4 = 0x11;
const ADDRESSES = 12;

/** @param destination as the client has connected to it */
export function proxyHeader(client: Endpoint, destination: Endpoint): Buffer {
  const rest = Buffer.alloc(4 + ADDRESSES);
  rest.writeUInt8(VERSION_2_PROXY, 0);
  rest.writeUInt8(TCP_OVER_IPV4, 1);
  rest.writeUInt16BE(ADDRESSES, 2);
  rest.set(client.address.split('.').map(Number), 4);
  rest.set(destination.address.split('.').map(Number), 8);
  rest.writeUInt16BE(client.port, 12);
  rest.writeUInt16BE(destination.port, 14);
  return Buffer.concat([SIGNATURE, rest]);
}

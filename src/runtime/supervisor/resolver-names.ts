/** What the resolver knows by itself: names and addresses of the cluster. */
import { formatAddress, parseAddress } from '../../manifest/address';
import { namesOf } from '../protocol/table';
import { type DnsRecord, encodeName, type Question, TYPE } from './dns-message';
import type { Identity } from './remaps';

/** Addresses last as long as the cluster is deployed as it is. */
const TTL = 60;

/** The records for a question about the cluster; undefined: it is about something else. */
export type Names = (question: Question) => readonly DnsRecord[] | undefined;

export function clusterNames({ cluster, self, directory }: Identity): Names {
  // A client is in nobody's directory but its own.
  const known = directory.some((entry) => entry.address === self.address);
  const entries = known ? directory : [...directory, { ...self, aliases: [] }];
  const addresses = new Map<string, Buffer>();
  const names = new Map<string, Buffer>();
  for (const entry of entries) {
    const address = Buffer.alloc(4);
    address.writeUInt32BE(parseAddress(entry.address)!);
    for (const name of namesOf(entry, cluster)) if (!addresses.has(name)) addresses.set(name, address);
    names.set(`${formatAddress(address.readUInt32LE())}.in-addr.arpa`, encodeName(entry.name));
  }
  return ({ name, type, internet }) => {
    if (!internet) return undefined;
    const only = (wanted: number, data: Buffer) =>
      type === wanted || type === TYPE.ANY ? [{ type: wanted, ttl: TTL, data }] : [];
    const address = addresses.get(name);
    if (address) return only(TYPE.A, address);
    const canonical = names.get(name);
    return canonical && only(TYPE.PTR, canonical);
  };
}

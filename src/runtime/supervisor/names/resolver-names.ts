/**
 * What the resolver knows by itself: names and addresses of the cluster, and those that every machine has for itself.
 */

import { namesOf } from '../../../contract/abi/table';
import { clientRange, inCidr, parseAddress, parseCidr } from '../../../contract/manifest/address';
import type { Welcome } from '../../control/index';
import type { Identity } from '../files/remaps';
import { type DnsRecord, encodeName, type Question, TYPE } from './dns-message';

/** Addresses last as long as the cluster is deployed as it is. */
const TTL = 60;

export type ResolverIdentity = Identity & Pick<Welcome, 'cidr'>;

export interface Answer {
  /** False: there is no such name (NXDOMAIN). True without records: the name has nothing of that type. */
  readonly exists: boolean;
  readonly records: readonly DnsRecord[];
}

/** The answer to a question that the cluster or this machine answers; undefined: it is about something else. */
export type Names = (question: Question) => Answer | undefined;

type Records = Readonly<Record<number, Buffer>>;

const NO_SUCH_NAME: Answer = { exists: false, records: [] };
const LOOPBACK = 0x7f000001;
const LOCALHOST: Records = { [TYPE.A]: wordOf(LOOPBACK), [TYPE.AAAA]: Buffer.from([...Array(15).fill(0), 1]) };
const REVERSE = '.in-addr.arpa';
const REVERSE_6 = '.ip6.arpa';
/** The nibbles of ::1, and those before an IPv4 address in IPv6's form, as they stand in a reverse name. */
const LOOPBACK_6 = `1${'.0'.repeat(31)}${REVERSE_6}`;
const MAPPED = `.f.f.f.f${'.0'.repeat(20)}${REVERSE_6}`;

export function clusterNames({ cluster, cidr, self, directory }: ResolverIdentity): Names {
  // A client is in nobody's directory but its own.
  const known = directory.some((entry) => entry.address === self.address);
  const entries = known ? directory : [...directory, { ...self, aliases: [] }];
  const names = new Map<string, Records>();
  const owners = new Map<number, string>();
  const add = (all: readonly string[], address: number, owner: string) => {
    for (const name of all) if (!names.has(name)) names.set(name, { [TYPE.A]: wordOf(address) });
    owners.set(address, owner);
  };
  for (const entry of entries) add(namesOf(entry, cluster), parseAddress(entry.address)!, entry.name);
  const block = parseCidr(cidr)!;
  const range = clientRange(block);
  // Clients are not announced, but their names follow from their addresses (seed/clients.ts).
  for (let address = range.first; address <= range.last; address++) {
    if (owners.has(address)) continue;
    let name = `client-${address - range.first}`;
    while (names.has(name)) name = `${name}-x`;
    add([name, `${name}.${cluster}`], address, name);
  }

  /** Of an address, or of a block of them, that begins with these bytes. */
  const reverse = (bytes: readonly number[]): Answer | undefined => {
    const first = bytes.reduce((sum, byte, i) => sum + byte * 256 ** (3 - i), 0);
    const local = bytes[0] === 127;
    const last = first + 256 ** (4 - bytes.length) - 1;
    if (!local && !(inCidr(block, first) && inCidr(block, last))) return undefined;
    if (bytes.length < 4) return { exists: true, records: [] };
    const owner = first === LOOPBACK ? 'localhost' : owners.get(first);
    return owner === undefined ? NO_SUCH_NAME : { exists: true, records: [{ ...PTR, data: encodeName(owner) }] };
  };

  return ({ name, type, internet }) => {
    if (!internet) return undefined;
    const answer = name.endsWith('.arpa') ? reverseOf(name, reverse) : forward(name, names);
    return answer && { ...answer, records: answer.records.filter((r) => type === r.type || type === TYPE.ANY) };
  };
}

const PTR = { type: TYPE.PTR, ttl: TTL };

/**
 * A name below one that is known can only be the cluster's, and does not exist. Below `localhost` all names do (RFC
 * 6761).
 */
function forward(name: string, names: ReadonlyMap<string, Records>): Answer | undefined {
  const found = names.get(name);
  if (found) return exists(found);
  const labels = name.split('.');
  if (labels[labels.length - 1] === 'localhost') return exists(LOCALHOST);
  return labels.some((_, i) => i > 0 && names.has(labels.slice(i).join('.'))) ? NO_SUCH_NAME : undefined;
}

function reverseOf(name: string, reverse: (bytes: readonly number[]) => Answer | undefined): Answer | undefined {
  if (name === LOOPBACK_6) return exists({ [TYPE.PTR]: encodeName('localhost') });
  const mapped = name.endsWith(MAPPED) ? name.slice(0, -MAPPED.length).split('.').reverse() : [];
  if (mapped.length === 8 && mapped.every((nibble) => /^[0-9a-f]$/.test(nibble))) {
    return reverse([0, 2, 4, 6].map((i) => Number.parseInt(mapped[i] + mapped[i + 1], 16)));
  }
  if (!name.endsWith(REVERSE)) return undefined;
  const labels = name.slice(0, -REVERSE.length).split('.').reverse();
  const bytes = labels.slice(0, 4).map(Number);
  if (!bytes.every((byte, i) => String(byte) === labels[i] && byte < 256)) return undefined;
  const answer = reverse(bytes);
  return answer && labels.length > 4 ? NO_SUCH_NAME : answer;
}

function exists(records: Records): Answer {
  return {
    exists: true,
    records: Object.entries(records).map(([type, data]) => ({ type: Number(type), ttl: TTL, data })),
  };
}

function wordOf(address: number): Buffer {
  const word = Buffer.alloc(4);
  word.writeUInt32BE(address);
  return word;
}

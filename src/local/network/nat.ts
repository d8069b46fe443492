/**
 * What a NAT does to what goes through it: kinds, as users name them, and the rules that make them, as nft reads them.
 */
import { LocalError } from '../errors';

/** How a NAT chooses the public port of a connection. */
export type Mapping =
  /** The port that the host chose, as Lambda's. Where another host behind the same address has it, another one. */
  | 'port-preserving'
  /** Never the port that the host chose, but the same one to every destination while one of its connections lives. */
  | 'endpoint-independent'
  /** For each destination another one, that nobody can predict. */
  | 'symmetric'
  /** One host has the public address for itself, and everything that comes to it, unasked or not: as a VM of EC2's. */
  | 'one-to-one'
  /** There is no NAT: the slot has the public address itself, and everybody reaches it, as a VM with such an address. */
  | 'none';

export interface Nat {
  readonly mapping: Mapping;
  /** Hosts that say the same here are behind one NAT with one public address. */
  readonly shared?: string;
  /** Hosts behind the same NAT do not reach each other by their private addresses. */
  readonly apart: boolean;
  readonly udp: boolean;
  /** A packet from inside, in the midst of a connection that the NAT knows nothing of, makes a mapping for it. */
  readonly loose: boolean;
}

/** The NAT of each host (or function, or client), by name. */
export type NatOf = (owner: string) => Nat;

/** Stands for what runs under `imaginary exec`. */
export const CLIENT = 'client';
const DEFAULT: Nat = { mapping: 'port-preserving', apart: false, udp: true, loose: false };
/** Kinds that stand alone, and why. */
const ALONE: Partial<Record<Mapping, string>> = {
  none: 'is no NAT, which has no further kinds',
  'one-to-one': 'lets everything of one host through',
};
export const NAT_WORDS =
  'none, one-to-one, port-preserving, endpoint-independent, symmetric, shared, shared:NAME, apart, no-udp, loose';

/**
 * Reads `WORDS` (for all) and `HOST=WORDS` (for one); words are joined by `+`, like `symmetric+no-udp`.
 * @throws LocalError that names the value and what is allowed
 */
export function parseNats(given: readonly string[], hosts: readonly string[]): NatOf {
  let all: Nat = DEFAULT;
  const named = new Map<string, Nat>();
  for (const text of given) {
    const at = text.indexOf('=');
    const nat = parseWords(text, text.slice(at + 1));
    if (at < 0) all = nat;
    else named.set(knownHost(text, text.slice(0, at), hosts), nat);
  }
  const natOf: NatOf = (owner) => named.get(owner) ?? all;
  checkShared([...hosts, CLIENT], natOf);
  return natOf;
}

function parseWords(text: string, words: string): Nat {
  let nat = DEFAULT;
  for (const word of words.split('+')) {
    const [, name] = /^shared:([a-z0-9-]+)$/.exec(word) ?? [];
    if (isMapping(word)) nat = { ...nat, mapping: word };
    else if (word === 'shared' || name) nat = { ...nat, shared: name ?? 'shared' };
    else if (word === 'apart') nat = { ...nat, apart: true };
    else if (word === 'no-udp') nat = { ...nat, udp: false };
    else if (word === 'loose') nat = { ...nat, loose: true };
    else throw wrong(text, `'${word}' is no kind of NAT; allowed: ${NAT_WORDS}, joined by +`);
  }
  const alone = ALONE[nat.mapping];
  if (alone && words !== nat.mapping) throw wrong(text, `'${nat.mapping}' ${alone}; allowed: '${nat.mapping}' alone`);
  return nat;
}

const isMapping = (word: string): word is Mapping => Object.hasOwn(MASQUERADE, word);

function knownHost(text: string, host: string, hosts: readonly string[]): string {
  if (hosts.includes(host) || host === CLIENT) return host;
  throw wrong(text, `there is no host '${host}'; allowed: ${[...hosts, CLIENT].join(', ')}`);
}

function checkShared(owners: readonly string[], natOf: NatOf): void {
  const first = new Map<string, { owner: string; nat: Nat }>();
  for (const owner of owners) {
    const nat = natOf(owner);
    if (nat.shared === undefined) continue;
    const other = first.get(nat.shared);
    if (!other) first.set(nat.shared, { owner, nat });
    else if (JSON.stringify(sorted(other.nat)) !== JSON.stringify(sorted(nat)))
      throw wrong(describeNat(nat), `'${owner}' and '${other.owner}' share a NAT, but not its kind`);
  }
}

const sorted = ({ mapping, apart, udp, loose }: Nat) => [mapping, apart, udp, loose];

function wrong(text: string, why: string): LocalError {
  return new LocalError('nat', `--nat is '${text}': ${why}`, 'imaginary up --help');
}

/** In the words that it is given by. */
export function describeNat({ mapping, shared, apart, udp, loose }: Nat): string {
  const words: string[] = [mapping];
  if (shared !== undefined) words.push(shared === 'shared' ? 'shared' : `shared:${shared}`);
  if (apart) words.push('apart');
  if (!udp) words.push('no-udp');
  if (loose) words.push('loose');
  return words.join('+');
}

/** The link to the internet. */
export const OUTSIDE = 'wan';

/**
 * Rules of a NAT. What comes in unasked ends in `unsolicited`. A packet in the midst of a connection that the NAT knows
 * nothing of is dropped, unless the NAT is loose: Linux by itself would guess the mapping that it has forgotten.
 */
export function natRules(nat: Nat): string {
  // It keeps no account of connections: whatever comes is of one that is there.
  const open = nat.mapping === 'one-to-one';
  const chain = (name: string, type: string, ...rules: readonly string[]) =>
    `chain ${name} { ${[type, ...rules].join('; ')}; }`;
  const out = `oifname ${OUTSIDE}`;
  return [
    `table ip nat { ${chain('out', 'type nat hook postrouting priority 100', ...MASQUERADE[nat.mapping].map((rule) => `${out} ${rule}`))}; }`,
    `table ip gate {`,
    ` chain unsolicited { drop; };`,
    ` ${chain('input', 'type filter hook input priority 0', `iifname != ${OUTSIDE} meta l4proto icmp accept`, 'jump unsolicited')};`,
    ` ${chain(
      'forward',
      'type filter hook forward priority 0; policy drop',
      ...(nat.udp ? [] : ['meta l4proto udp drop']),
      'ct state established,related accept',
      ...(open ? [] : [`iifname ${OUTSIDE} drop`]),
      'ct state invalid drop',
      ...(nat.loose || open ? [] : ['tcp flags & (fin|syn|rst|ack) != syn drop']),
      ...(nat.apart ? [`oifname != ${OUTSIDE} drop`] : []),
      'accept',
    )}; }`,
  ]
    .join('; ')
    .replaceAll('{;', '{');
}

/**
 * Linux gives a second connection from the same local port the mapping that the first one has, if it may: with `to` it
 * never is the local port, with `fully-random` it may not.
 */
const MASQUERADE: Record<Mapping, readonly string[]> = {
  'port-preserving': ['masquerade'],
  'endpoint-independent': [
    ...['tcp', 'udp'].flatMap((protocol) => [
      `${protocol} sport 0-32767 masquerade to :32768-65535`,
      `${protocol} sport 32768-65535 masquerade to :1024-32767`,
    ]),
    'masquerade',
  ],
  symmetric: ['masquerade random,fully-random'],
  'one-to-one': ['masquerade'],
  none: [],
};

/** What becomes of unsolicited connections. */
export function unsolicitedRules(refused: boolean): string {
  const rule = 'add rule ip gate unsolicited';
  return `flush chain ip gate unsolicited; ${refused ? `${rule} meta l4proto tcp reject with tcp reset; ` : ''}${rule} drop`;
}

/** A static forward of a port of the NAT's public address, or of all that it has. */
export function forwardRules(privateAddress: string, port?: number): string {
  return [
    'add table ip forwards',
    'add chain ip forwards in { type nat hook prerouting priority -100; }',
    `add rule ip forwards in iifname ${OUTSIDE}${port === undefined ? '' : ` tcp dport ${port}`} dnat to ${privateAddress}`,
    'insert rule ip gate forward ct status dnat accept',
  ].join('; ');
}

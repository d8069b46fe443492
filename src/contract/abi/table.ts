/**
 * The table that every guest of a host maps: names, locations, ports. The layout of
 * abi.h. Lays out and writes memory that is given to it; no I/O.
 *
 * One writer, many readers, no locks: a seqlock. All words that change are written with `Atomics`, which orders them
 * among each other on every architecture.
 */

import type { DirectoryEntry } from '../control/packed-directory';
import { parseAddress, parseCidr } from '../manifest/address';
import * as abi from './generated';
import { type Protocol, type Scope, scopeNumber } from './shim';

/**
 * Network number of the loopback aliases inside a sandbox that has its loopback interface for itself: below those of
 * network `flat`.
 */
export const SANDBOX_ALIASES = 62;

export const HEADER = abi.im_table_header;
export const HOST = abi.im_host;
export const NAME = abi.im_name;
export const PORT = abi.im_port;

/** The loopback alias of a host: its real address in network `flat`, and inside its own sandbox elsewhere. */
export function aliasAddress(flat: number, virtual: number): number {
  return 0x7f000000 + flat * 0x10000 + (virtual & 0xffff);
}

export interface TableSpec {
  readonly cluster: string;
  readonly cidr: string;
  readonly self: { readonly name: string; readonly address: string; readonly nodeId: number };
  readonly directory: readonly DirectoryEntry[];
  /** The host name that guests see is the kernel's, not this host's. */
  readonly kernelName?: boolean;
  /** The number of the loopback aliases. */
  readonly aliases: number;
  /** Hosts do not reach each other: their supervisors make the connections. */
  readonly handoff?: boolean;
  /** Room for listening ports, own ones included. Those that do not fit are not lost: guests ask for them. */
  readonly portsCapacity?: number;
}

interface HostRow {
  readonly address: number;
  readonly name: number;
  readonly nodeId: number;
}

/** Where everything is in a table; made from the directory alone. */
export interface TableLayout {
  readonly spec: TableSpec;
  readonly size: number;
  readonly hosts: readonly HostRow[];
  /** Index in `hosts` by virtual address. */
  readonly indexOf: ReadonlyMap<number, number>;
  readonly names: ReadonlyArray<{ readonly hash: number; readonly name: number; readonly host: number } | undefined>;
  readonly strings: Buffer;
  readonly hostname: number;
  readonly offsets: {
    readonly hosts: number;
    readonly names: number;
    readonly ports: number;
    readonly strings: number;
  };
  readonly portsCapacity: number;
}

/** FNV-1a, 32 bits. */
export function nameHash(name: string): number {
  // Of a name that is not ASCII: one character for each byte.
  const bytes = Buffer.byteLength(name) === name.length ? name : Buffer.from(name).toString('latin1');
  let hash = 0x811c9dc5;
  for (let i = 0; i < bytes.length; i++) hash = Math.imul(hash ^ bytes.charCodeAt(i), 0x01000193);
  return hash >>> 0;
}

export function layoutTable(spec: TableSpec): TableLayout {
  const pool = stringPool();
  const known = spec.directory.some((entry) => entry.address === spec.self.address);
  // A client is in nobody's directory but its own.
  const entries = known ? [...spec.directory] : [...spec.directory, { ...spec.self, aliases: [] }];
  const sorted = entries
    .map((entry) => ({ entry, address: parseAddress(entry.address)! }))
    .sort((a, b) => a.address - b.address);
  const hosts = sorted.map(({ entry, address }) => ({ address, name: pool.add(entry.name), nodeId: entry.nodeId }));
  const named = sorted.flatMap(({ entry }, host) =>
    [...new Set(namesOf(entry, spec.cluster))].map((name) => ({ text: name, host })),
  );
  let capacity = 16;
  while (capacity < named.length * 2) capacity *= 2;
  const names: Array<{ hash: number; name: number; host: number } | undefined> = new Array(capacity).fill(undefined);
  for (const { text, host } of named) {
    const hash = nameHash(text);
    let slot = hash & (capacity - 1);
    while (names[slot]) slot = (slot + 1) & (capacity - 1);
    names[slot] = { hash, name: pool.add(text), host };
  }
  const hostname = pool.add(spec.kernelName ? '' : spec.self.name.toLowerCase());
  const strings = pool.bytes();
  const portsCapacity = spec.portsCapacity ?? 1024 + 2 * hosts.length;
  const hostsAt = HEADER.SIZE;
  const namesAt = hostsAt + hosts.length * HOST.SIZE;
  const portsAt = namesAt + capacity * NAME.SIZE;
  const stringsAt = portsAt + portsCapacity * PORT.SIZE;
  return {
    spec,
    size: stringsAt + strings.length,
    hosts,
    indexOf: new Map(hosts.map((host, i) => [host.address, i])),
    names,
    strings,
    hostname,
    offsets: { hosts: hostsAt, names: namesAt, ports: portsAt, strings: stringsAt },
    portsCapacity,
  };
}

/** Every name that resolves to a host or a service. */
export function namesOf(entry: DirectoryEntry, cluster: string): string[] {
  const plain = [entry.name, ...entry.aliases];
  const own = entry.service ? [] : [`node-${entry.nodeId}`];
  return [...plain, ...plain.map((name) => `${name}.${cluster}`), ...own].map((n) => n.toLowerCase());
}

/** NUL-terminated strings, each once; offset 0 is the empty string. */
function stringPool() {
  const offsets = new Map<string, number>([['', 0]]);
  let all = '\0';
  let size = 1;
  return {
    add(text: string): number {
      const there = offsets.get(text);
      if (there !== undefined) return there;
      const at = size;
      offsets.set(text, at);
      all += `${text}\0`;
      size += Buffer.byteLength(text) + 1;
      return at;
    },
    /** A multiple of 8 long, so that the file's size is one too. */
    bytes: () => {
      const bytes = Buffer.alloc(Math.ceil(size / 8) * 8);
      bytes.write(all);
      return bytes;
    },
  };
}

export interface HostState {
  readonly address: number;
  /** Directly reachable at this address. */
  readonly direct?: { readonly real: number; readonly epoch: number };
  /** This epoch of it is up, and connections to it are handoff. Neither: ask the supervisor. */
  readonly handoff?: { readonly epoch: number };
}

export interface PortRow {
  /** Virtual address of the host. For the table's own host it may be an address of its loopback interface. */
  readonly address: number;
  readonly port: number;
  readonly real: number;
  readonly realPort: number;
  readonly scope: Scope;
  readonly protocol?: Protocol;
}

export interface TableWriter {
  /**
   * Replaces the ports listed (the first ones, when there is not room for all) and the states of the hosts given, in
   * one step that readers see whole or not at all.
   */
  write(hosts: Iterable<HostState>, ports: readonly PortRow[]): void;
}

/**
 * Writes a new table into zeroed memory of `layout.size` bytes. The magic number comes last: a reader that sees it sees
 * everything else.
 */
export function writeTable(memory: ArrayBuffer, layout: TableLayout): TableWriter {
  const { spec, offsets } = layout;
  const words = new Uint32Array(memory, 0, layout.size >>> 2);
  const put = (offset: number, value: number) => {
    words[offset >>> 2] = value;
  };
  const cidr = parseCidr(spec.cidr)!;
  const self = parseAddress(spec.self.address)!;
  put(HEADER.version, abi.IM_VERSION);
  put(HEADER.file_size, layout.size);
  put(HEADER.cidr_base, cidr.base);
  put(HEADER.cidr_prefix, cidr.prefix);
  put(HEADER.self, self);
  put(HEADER.alias_base, aliasAddress(spec.aliases, 0));
  put(HEADER.alias_loop, aliasAddress(spec.aliases + 1, 0));
  put(HEADER.hosts_offset, offsets.hosts);
  put(HEADER.hosts_count, layout.hosts.length);
  put(HEADER.names_offset, offsets.names);
  put(HEADER.names_capacity, layout.names.length);
  put(HEADER.ports_offset, offsets.ports);
  put(HEADER.ports_capacity, layout.portsCapacity);
  put(HEADER.strings_offset, offsets.strings);
  put(HEADER.strings_size, layout.strings.length);
  put(HEADER.hostname, layout.hostname);
  put(HEADER.handoff, spec.handoff ? 1 : 0);
  put(HEADER.started, Number(BigInt.asUintN(32, process.hrtime.bigint() / 10_000_000n)) || 1);
  layout.hosts.forEach((host, i) => {
    const at = offsets.hosts + i * HOST.SIZE;
    put(at + HOST.address, host.address);
    put(at + HOST.name, host.name);
    put(at + HOST.node_id, host.nodeId);
  });
  layout.names.forEach((entry, slot) => {
    if (!entry) return;
    const at = offsets.names + slot * NAME.SIZE;
    put(at + NAME.hash, entry.hash);
    put(at + NAME.name, entry.name);
    put(at + NAME.host, entry.host);
  });
  new Uint8Array(memory).set(layout.strings, offsets.strings);
  Atomics.store(words, HEADER.magic >>> 2, abi.IM_TABLE_MAGIC);
  return { write: (hosts, ports) => writeStates(words, layout, hosts, ports) };
}

function writeStates(words: Uint32Array, layout: TableLayout, hosts: Iterable<HostState>, ports: readonly PortRow[]) {
  const put = (offset: number, value: number) => Atomics.store(words, offset >>> 2, value);
  const rows = ports.slice(0, layout.portsCapacity).sort((a, b) => a.address - b.address || a.port - b.port);
  // Readers wait from here on.
  const writing = Atomics.load(words, HEADER.seq >>> 2) + 1;
  put(HEADER.seq, writing);
  for (const host of hosts) {
    const index = layout.indexOf.get(host.address);
    if (index === undefined) continue;
    const at = layout.offsets.hosts + index * HOST.SIZE;
    const epoch = (host.direct ?? host.handoff)?.epoch ?? 0;
    put(at + HOST.state, host.direct ? abi.IM_DIRECT : host.handoff ? abi.IM_HANDOFF : abi.IM_LOCATE);
    put(at + HOST.real, host.direct?.real ?? 0);
    put(at + HOST.epoch, epoch >>> 0);
    put(at + HOST.epoch + 4, Math.floor(epoch / 2 ** 32));
  }
  rows.forEach((row, i) => {
    const at = layout.offsets.ports + i * PORT.SIZE;
    put(at + PORT.address, row.address);
    put(at + PORT.port, row.port + row.realPort * 0x10000);
    put(at + PORT.real, row.real);
    put(at + PORT.scope, scopeNumber(row.scope, row.protocol));
  });
  put(HEADER.ports_count, rows.length);
  put(HEADER.seq, writing + 1);
}

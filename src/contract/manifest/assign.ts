import { type Cidr, formatAddress, hostRange } from './address';

/** A host, or a group of hosts `prefix-0 … prefix-(count-1)`, that needs addresses. */
export interface AddressRequest {
  /** Host name, or the group's prefix. */
  readonly name: string;
  /** Number of hosts of a group; absent for a single host. */
  readonly count?: number;
  /** Pinned (first) address as an unsigned integer. */
  readonly pinned?: number;
}

/** What a service requests its address by: another one than hosts of its name, or a group of that prefix. */
export function requestOfService(name: string): string {
  return `service ${name}`;
}

/** Two requests want one address. `suggestions` holds a free address for the later of each pair. */
export class AddressCollisionError extends Error {
  constructor(
    readonly collisions: ReadonlyArray<{ name: string; with: string; address: string; suggestion?: string }>,
  ) {
    super(
      collisions
        .map(
          (c) =>
            `hosts '${c.with}' and '${c.name}' both map to the virtual address ${c.address}; ` +
            (c.suggestion
              ? `give '${c.name}' one of its own: address: '${c.suggestion}'`
              : `no block of that size is free: use a larger 'cidr'`),
        )
        .join('\n'),
    );
    this.name = 'AddressCollisionError';
  }
}

/** A group has more hosts than the whole block has addresses for hosts. */
export class AddressRangeError extends Error {
  constructor(
    readonly group: string,
    readonly count: number,
    readonly available: number,
  ) {
    super(
      `the ${count} hosts of group '${group}' need more addresses than the ${available} that the block has for hosts; ` +
        `use a larger 'cidr'`,
    );
    this.name = 'AddressRangeError';
  }
}

/**
 * Assigns virtual addresses. An address is a function of the name alone, so adding or removing a host never changes
 * another's; the price is that two names can collide, which is an error with a free address to pin, never a silent
 * shift. A group takes one run of addresses, so that its members cannot collide with each other.
 */
export function assignAddresses(block: Cidr, requests: readonly AddressRequest[]): Map<string, number> {
  const { first, last } = hostRange(block);
  const size = last - first + 1;
  const owner = new Map<number, string>();
  const assigned = new Map<string, number>();
  const pending: Array<{ name: string; with: string; at: number; count: number }> = [];
  // Pinned ones first: a pin must never lose its place to a hash.
  for (const request of [...requests].sort((a, b) => Number(a.pinned === undefined) - Number(b.pinned === undefined))) {
    const count = request.count ?? 1;
    if (count > size) throw new AddressRangeError(request.name, count, size);
    // A group that reaches the end of the range goes on at its start: where it begins must not depend on its size.
    const run =
      request.pinned === undefined
        ? wrapped(hash(request.name) % size, count, first, size)
        : range(request.pinned, count);
    const clash = run.find((a) => owner.has(a));
    if (clash !== undefined) pending.push({ name: request.name, with: owner.get(clash)!, at: clash, count });
    run.forEach((address, i) => {
      const name = request.count === undefined ? request.name : `${request.name}-${i}`;
      assigned.set(name, address);
      if (clash === undefined) owner.set(address, name);
    });
  }
  if (pending.length === 0) return assigned;
  throw new AddressCollisionError(
    pending.map((p) => {
      const free = firstFree(owner, p.at, p.count, first, last);
      if (free !== undefined) for (const a of range(free, p.count)) owner.set(a, p.name);
      const suggestion = free === undefined ? undefined : formatAddress(free);
      return { name: p.name, with: p.with, address: formatAddress(p.at), suggestion };
    }),
  );
}

function range(start: number, count: number): number[] {
  return Array.from({ length: count }, (_, i) => start + i);
}

function wrapped(offset: number, count: number, first: number, size: number): number[] {
  return Array.from({ length: count }, (_, i) => first + ((offset + i) % size));
}

function firstFree(taken: Map<number, string>, from: number, count: number, first: number, last: number) {
  const span = last - first + 1;
  for (let i = 0; i < span; i++) {
    const at = first + ((from - first + i) % span);
    if (at + count - 1 <= last && range(at, count).every((a) => !taken.has(a))) return at;
  }
  return undefined;
}

/** FNV-1a, 32 bits, with a final avalanche: the low bits alone must already be well mixed. */
function hash(text: string): number {
  let h = 0x811c9dc5;
  for (const byte of Buffer.from(text)) h = Math.imul(h ^ byte, 0x01000193);
  h = Math.imul(h ^ (h >>> 16), 0x85ebca6b);
  h = Math.imul(h ^ (h >>> 13), 0xc2b2ae35);
  return (h ^ (h >>> 16)) >>> 0;
}

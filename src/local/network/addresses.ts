/** Numbers of namespaces, and public addresses by owner. */
import { formatAddress } from '../../contract/manifest';

const MOST = 65_000;

/** Numbers that are given back are used again. */
export function numbers() {
  const free: number[] = [];
  let next = 0;
  return {
    take: () => free.pop() ?? next++,
    give: (number: number) => void free.push(number),
  };
}

/**
 * Public addresses above `base`. An owner that comes again gets the one that it had; one that comes while it is there
 * (several sandboxes of one function) another one.
 * @param first have the first addresses, in this order
 */
export function addressBook(base: number, first: readonly string[] = []) {
  const taken = new Set<string>();
  const own = new Map<string, string>();
  let next = 0;
  const fresh = (): string => {
    for (;;) {
      const address = formatAddress(base + 1 + (next++ % MOST));
      if (!taken.has(address)) return address;
    }
  };
  const take = (owner: string, address: string) => {
    taken.add(address);
    if (!own.has(owner)) own.set(owner, address);
    return address;
  };
  for (const owner of first) if (!own.has(owner)) own.set(owner, fresh());
  return {
    take: (owner: string) => {
      const before = own.get(owner);
      return take(owner, before !== undefined && !taken.has(before) ? before : fresh());
    },
    /** Instead of the one that it has now. */
    takeAnother: (owner: string, old: string) => {
      const address = fresh();
      taken.delete(old);
      own.set(owner, address);
      return take(owner, address);
    },
    give: (address: string) => void taken.delete(address),
  };
}

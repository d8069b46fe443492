/** An IPv4 block, its bounds as unsigned integers. */
export interface Cidr {
  readonly base: number;
  readonly prefix: number;
  /** Number of addresses in the block. */
  readonly size: number;
}

const [ZERO, NINE, DOT] = ['0', '9', '.'].map((char) => char.charCodeAt(0));

/** Dotted quad to unsigned integer; undefined when it is not one. */
export function parseAddress(text: string): number | undefined {
  // Without a regular expression: a cold start reads the addresses of the whole cluster, and nothing is optimised yet.
  let [address, part, digits, dots] = [0, 0, 0, 0];
  for (let i = 0; i < text.length; i++) {
    const code = text.charCodeAt(i);
    if (code >= ZERO && code <= NINE && digits < 3) {
      part = part * 10 + code - ZERO;
      digits++;
    } else if (code === DOT && digits > 0 && part <= 255 && dots < 3) {
      address = address * 256 + part;
      dots++;
      part = 0;
      digits = 0;
    } else return undefined;
  }
  return dots === 3 && digits > 0 && part <= 255 ? address * 256 + part : undefined;
}

/** Unsigned integer to dotted quad. */
export function formatAddress(value: number): string {
  return [24, 16, 8, 0].map((shift) => (value >>> shift) & 255).join('.');
}

/** `a.b.c.d/n` to a block; undefined when it is not one or host bits are set. */
export function parseCidr(text: string): Cidr | undefined {
  const [, address, bits] = /^([^/]*)\/(\d{1,2})$/.exec(text) ?? [];
  const base = address === undefined ? undefined : parseAddress(address);
  const prefix = Number(bits);
  if (base === undefined || !(prefix >= 0 && prefix <= 32)) return undefined;
  const size = 2 ** (32 - prefix);
  return base % size === 0 ? { base, prefix, size } : undefined;
}

export function inCidr(block: Cidr, address: number): boolean {
  return address >= block.base && address < block.base + block.size;
}

/**
 * How many addresses at the top of a block are kept for clients that join by no declared name (1/16 of the block,
 * at most 256). The first two addresses (network, seed) are kept too.
 */
export function clientBlockSize(block: Cidr): number {
  return Math.min(256, Math.max(4, block.size / 16));
}

/** The bounds [first, last] of what a host of the cluster may have as its virtual address. */
export function hostRange(block: Cidr): { first: number; last: number } {
  return { first: block.base + 2, last: block.base + block.size - 1 - clientBlockSize(block) };
}

/** The bounds [first, last] of what a client without a declared name gets (the broadcast address is left out). */
export function clientRange(block: Cidr): { first: number; last: number } {
  return { first: block.base + block.size - clientBlockSize(block), last: block.base + block.size - 2 };
}

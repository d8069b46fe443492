/**
 * Looks for system calls that a program makes by itself: pairs of "the number of a call" and "enter the kernel" in its
 * code.
 */

export interface ProgramHeader {
  readonly type: number;
  readonly flags: number;
  readonly offset: number;
  readonly address: number;
  readonly size: number;
}

/** Reads from the program's file; less than asked for where there is less, or where it is too much. */
export type Read = (offset: number, length: number) => Buffer;

const PT_LOAD = 1;
const PT_DYNAMIC = 2;
const PF_X = 1;
const DT_STRTAB = 5;
const DT_SYMTAB = 6;
const DT_GNU_HASH = 0x6ffffef5;
const SYMBOL_SIZE = 24;

/** Which of these functions a program has from its libraries. */
export function importsOf(headers: readonly ProgramHeader[], read: Read, names: readonly string[]): string[] {
  const dynamic = headers.find((header) => header.type === PT_DYNAMIC);
  const entries = dynamic ? read(dynamic.offset, dynamic.size) : Buffer.alloc(0);
  const values = new Map<number, number>();
  for (let at = 0; at + 16 <= entries.length; at += 16) {
    values.set(Number(entries.readBigUInt64LE(at)), Number(entries.readBigUInt64LE(at + 8)));
  }
  const table = (address = -1, size = 0) => {
    const held = headers.find((h) => h.type === PT_LOAD && address >= h.address && address < h.address + h.size);
    return held ? read(held.offset + address - held.address, size) : Buffer.alloc(0);
  };
  const symbols = table(values.get(DT_SYMTAB), importsSize(values, table));
  const found = new Set<string>();
  const longest = Math.max(...names.map((name) => name.length)) + 1;
  // One by one: all names together may be megabytes, and those of what is imported lie anywhere among them.
  for (let i = SYMBOL_SIZE; i + SYMBOL_SIZE <= symbols.length && found.size < names.length; i += SYMBOL_SIZE) {
    const text = table((values.get(DT_STRTAB) ?? 0) + symbols.readUInt32LE(i), longest).toString('latin1');
    const name = names.find((one) => text.startsWith(`${one}\0`));
    if (name) found.add(name);
  }
  return names.filter((name) => found.has(name));
}

/** What a program imports stands before what others may look up in it. */
function importsSize(values: ReadonlyMap<number, number>, table: (address?: number, size?: number) => Buffer): number {
  const hash = table(values.get(DT_GNU_HASH), 16);
  const first = hash.length === 16 ? hash.readUInt32LE(4) : 0;
  // Where there is nothing to be looked up, that says nothing; but all linkers put the strings behind the symbols.
  if (first > 1) return first * SYMBOL_SIZE;
  return Math.max(0, (values.get(DT_STRTAB) ?? 0) - (values.get(DT_SYMTAB) ?? 0));
}

interface Machine {
  readonly numbers: Readonly<Record<string, number>>;
  readonly instruction: Buffer;
  /** The number that is loaded nearest before the instruction at `at`. */
  numberBefore(code: Buffer, at: number): number | undefined;
}

/** A compiler loads the number and the arguments right before the instruction: at most six, of ten bytes each. */
const NEAR = 64;
const MOST_NUMBER = 600;

const MACHINES: Readonly<Record<string, Machine>> = {
  x64: {
    numbers: { connect: 42, bind: 49, listen: 50 },
    instruction: Buffer.from([0x0f, 0x05]),
    numberBefore: (code, at) => {
      for (let i = at - 5; i >= 1 && i >= at - NEAR; i--) {
        // mov $number, %eax (with a prefix it is another register), or mov $number, %rax.
        const loads = (code[i] === 0xb8 && code[i - 1] !== 0x41 && code[i - 1] !== 0x49) || isMovRax(code, i);
        if (loads && code.readUInt32LE(i + 1) < MOST_NUMBER) return code.readUInt32LE(i + 1);
      }
      return undefined;
    },
  },
  arm64: {
    numbers: { connect: 203, bind: 200, listen: 201 },
    instruction: Buffer.from([0x01, 0x00, 0x00, 0xd4]),
    numberBefore: (code, at) => {
      if (at % 4 !== 0) return undefined;
      for (let i = at - 4; i >= 0 && i >= at - NEAR; i -= 4) {
        const word = code.readUInt32LE(i);
        // mov w8, #number, or mov x8, #number.
        if ((word & 0x7fe0001f) >>> 0 === 0x52800008) return (word >>> 5) & 0xffff;
      }
      return undefined;
    },
  },
};

function isMovRax(code: Buffer, at: number): boolean {
  return code[at] === 0xc0 && code[at - 1] === 0xc7;
}

/** At once; the machines' caches and a cold start's memory are small. Pieces overlap by what belongs together. */
const PIECE = 1024 * 1024;

/** Which of the calls a program makes itself. */
export function rawCalls(
  headers: readonly ProgramHeader[],
  read: Read,
  calls: readonly string[],
  machine = MACHINES[process.arch],
): string[] {
  const found = new Set<number>();
  for (const { offset, size } of headers.filter((h) => h.type === PT_LOAD && (h.flags & PF_X) !== 0)) {
    for (let from = 0; from < size; from += PIECE) {
      const start = Math.max(0, from - NEAR);
      const code = read(offset + start, Math.min(size, from + PIECE) - start);
      if (code.length === 0) break;
      for (let at = code.indexOf(machine.instruction); at >= 0; at = code.indexOf(machine.instruction, at + 1)) {
        const number = machine.numberBefore(code, at);
        if (number !== undefined) found.add(number);
      }
    }
  }
  return calls.filter((name) => found.has(machine.numbers[name]));
}

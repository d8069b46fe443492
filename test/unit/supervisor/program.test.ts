import { chmodSync, copyFileSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { inspectCommand, ProgramError } from '../../../src/runtime/supervisor/program';

let folder: string;
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'imaginary-program-'));
});
afterAll(() => rmSync(folder, { recursive: true }));

const PATH = '/usr/local/bin:/usr/bin:/bin';
function file(name: string, content: string | Buffer, mode = 0o755): string {
  const path = join(folder, name);
  writeFileSync(path, content);
  chmodSync(path, mode);
  return path;
}
function refusal(command: readonly string[], cwd = '/', path = PATH): ProgramError {
  try {
    inspectCommand(command, path, cwd);
  } catch (error) {
    if (error instanceof ProgramError) return error;
    throw error;
  }
  throw new Error('was not refused');
}
/** An ELF header of our own architecture with these program headers. */
function elf(change: (bytes: Buffer) => void = () => undefined, interpreter?: string): Buffer {
  const bytes = Buffer.alloc(4096);
  bytes.write('\x7fELF', 'latin1');
  bytes[4] = 2;
  bytes[5] = 1;
  bytes.writeUInt16LE(process.arch === 'arm64' ? 183 : 62, 18);
  bytes.writeBigUInt64LE(64n, 32);
  bytes.writeUInt16LE(56, 54);
  bytes.writeUInt16LE(1, 56);
  bytes.writeUInt32LE(interpreter === undefined ? 1 : 3, 64);
  if (interpreter !== undefined) {
    bytes.writeBigUInt64LE(1024n, 64 + 8);
    bytes.writeBigUInt64LE(BigInt(interpreter.length + 1), 64 + 32);
    bytes.write(interpreter, 1024);
  }
  change(bytes);
  return bytes;
}

test('a dynamically linked program is found on the search path', () => {
  expect(inspectCommand(['sh', '-c', 'true'], PATH)).toEqual({ file: '/usr/bin/sh', libc: 'glibc' });
});

test('a name with a slash is relative to the working directory', () => {
  mkdirSync(join(folder, 'bin'));
  copyFileSync('/bin/sh', join(folder, 'bin', 'shell'));
  expect(inspectCommand(['bin/shell'], PATH, folder).file).toBe(join(folder, 'bin', 'shell'));
  expect(inspectCommand(['shell'], `nowhere:bin`, folder).file).toBe(join(folder, 'bin', 'shell'));
});

test('scripts: the interpreter counts, through env and through other scripts', () => {
  const script = file('script', '#!/bin/sh -e\ntrue\n');
  expect(inspectCommand([script], PATH)).toEqual({ file: script, libc: 'glibc' });
  const viaEnv = file('via-env', '#!/usr/bin/env -S A=1 sh -e\n');
  expect(inspectCommand([viaEnv], PATH)).toEqual({ file: viaEnv, libc: 'glibc' });
  const nested = file('nested', `#!${script}\n`);
  expect(inspectCommand([nested], PATH)).toEqual({ file: nested, libc: 'glibc' });
  const loop = join(folder, 'loop');
  file('loop', `#!${loop}\n`);
  expect(refusal([loop]).code).toBe('not-a-program');
});

test('musl programs get their own shim', () => {
  const loader = file('ld-musl-x86_64.so.1', '');
  const program = file('musl', elf(undefined, loader));
  expect(inspectCommand([program], PATH).libc).toBe('musl');
});

test('what does not exist names the file', () => {
  expect(refusal(['/usr/bin/no-such-program'])).toMatchObject({ code: 'not-found', exitCode: 127 });
  expect(refusal(['/usr/bin/no-such-program']).message).toContain('/usr/bin/no-such-program');
  expect(refusal(['no-such-program']).message).toContain(PATH);
  expect(refusal([file('lost', '#!/no/such/interpreter\n')]).message).toContain("'/no/such/interpreter'");
  expect(refusal([file('lost-env', '#!/usr/bin/env no-such-interpreter\n')])).toMatchObject({ code: 'no-interpreter' });
  const noLoader = refusal([file('no-loader', elf(undefined, '/lib/ld-nowhere.so.1'))]);
  expect(noLoader).toMatchObject({ code: 'no-interpreter', exitCode: 127 });
});

test('what cannot be a guest is refused and told why', () => {
  const fixed = refusal([file('static', elf())]);
  expect(fixed).toMatchObject({ code: 'static', exitCode: 126 });
  expect(fixed.message).toMatch(/statically linked.*shim cannot be preloaded/);
  expect(
    refusal([
      file(
        'elf32',
        elf((b) => b.writeUInt8(1, 4)),
      ),
    ]).code,
  ).toBe('architecture');
  const other = elf((b) => b.writeUInt16LE(process.arch === 'arm64' ? 62 : 183, 18), '/bin/sh');
  expect(refusal([file('other', other)]).message).toContain('another architecture');
  expect(refusal([file('text', 'hello\n')]).code).toBe('not-a-program');
  expect(refusal([file('plain', '#!/bin/sh\n', 0o644)]).code).toBe('not-executable');
  expect(refusal([folder]).code).toBe('not-executable');
});

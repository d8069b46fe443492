import { spawnSync } from 'node:child_process';
import {
  chmodSync,
  chownSync,
  copyFileSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { inspectCommand, ProgramError } from '../../../../src/runtime/supervisor/guest/program';
import { randomNumbers } from '../../../support/random';

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

/** The note that Go's linker writes, in a program header behind that of the interpreter. */
function withGoNote(bytes: Buffer): Buffer {
  bytes.writeUInt16LE(2, 56);
  bytes.writeUInt32LE(4, 64 + 56);
  bytes.writeBigUInt64LE(2048n, 64 + 56 + 8);
  bytes.writeBigUInt64LE(16n + 8n + 16n + 4n, 64 + 56 + 32);
  // Behind another one, whose name and content are padded.
  bytes.writeUInt32LE(4, 2048);
  bytes.writeUInt32LE(3, 2052);
  bytes.write('GNU\0abc\0', 2048 + 12);
  bytes.writeUInt32LE(4, 2068);
  bytes.writeUInt32LE(4, 2072);
  bytes.writeUInt32LE(4, 2076);
  bytes.write('Go\0\0abcd', 2080);
  return bytes;
}

describe('Go programs are refused, and it is said what was found', () => {
  test('linked statically and dynamically, by the note of the linker', () => {
    const fixed = refusal([file('go-static', withGoNote(elf()))]);
    expect(fixed).toMatchObject({ code: 'go', exitCode: 126 });
    expect(fixed.message).toMatch(/go-static: is a Go program \(statically linked\).*system calls itself.*yet$/);
    const dynamic = refusal([file('go-dynamic', withGoNote(elf(undefined, '/bin/sh')))]);
    expect(dynamic.message).toMatch(/is a Go program \(dynamically linked\)/);
  });

  // As gcc links what `go build` gives it, with the build id taken away.
  test('by the section about the build', () => {
    const source = file(
      'section.c',
      '__attribute__((section(".go.buildinfo"))) char info[16] = "x"; int main(){}',
      0o644,
    );
    const built = join(folder, 'section');
    expect(spawnSync('gcc', ['-o', built, source], { encoding: 'utf8' })).toMatchObject({ status: 0 });
    expect(refusal([built])).toMatchObject({ code: 'go' });
    expect(spawnSync('gcc', ['-o', built, '-Dinfo=other', '-xc', '-'], { input: 'int main(){}' }).status).toBe(0);
    expect(inspectCommand([built], PATH).libc).toBe('glibc');
  });

  // Its own words, where Go is installed; the tests need no Go.
  const go = ['go', '/usr/local/go/bin/go'].find((name) => spawnSync(name, ['version']).status === 0);
  if (go)
    test('a real one, linked dynamically', () => {
      const source = file('main.go', 'package main\nfunc main() {}\n', 0o644);
      const built = join(folder, 'go-pie');
      const cache = resolve(__dirname, '../../../../node_modules/.cache/go');
      const environment = { ...process.env, CGO_ENABLED: '0', GOPROXY: 'off', GOCACHE: cache };
      const command = ['build', '-buildmode=pie', '-o', built, source];
      expect(spawnSync(go, command, { cwd: folder, env: environment, encoding: 'utf8' })).toMatchObject({ status: 0 });
      expect(refusal([built]).message).toContain('is a Go program (dynamically linked)');
    }, 180_000);
});

test('programs that get the rights of another user are refused', () => {
  let program = ['/usr/bin/su', '/bin/su', '/usr/bin/mount', '/usr/bin/passwd'].find(
    (path) => ((statSync(path, { throwIfNoEntry: false })?.mode ?? 0) & 0o4000) !== 0,
  );
  if (process.geteuid?.() === 0) {
    program = file('setuid', readFileSync('/bin/true'));
    chownSync(program, 65_534, 65_534);
    chmodSync(program, 0o4755);
    chmodSync(file('setgid', readFileSync('/bin/true')), 0o755);
    const group = join(folder, 'setgid');
    chownSync(group, 0, 65_534);
    chmodSync(group, 0o2755);
    expect(refusal([group]).message).toMatch(/is setgid, of group 65534/);
    // Root's own gives root nothing.
    chmodSync(file('own', readFileSync('/bin/true')), 0o4755);
    expect(inspectCommand([join(folder, 'own')], PATH).libc).toBe('glibc');
  }
  const refused = refusal([program!]);
  expect(refused).toMatchObject({ code: 'privileged', exitCode: 126 });
  expect(refused.message).toMatch(/is setuid, of user \d+: .*nothing can be preloaded into it.*without the bit$/);
});

test('whatever a file says about itself, the answer is a program or a ProgramError', () => {
  const random = randomNumbers(1);
  const whole = readFileSync('/bin/true');
  const answers = { taken: 0, refused: 0 };
  for (let round = 0; round < 500; round++) {
    const bytes = Buffer.from(whole.subarray(0, round % 10 === 0 ? random(whole.length) : whole.length));
    // The header, the program headers behind it, or anything.
    for (let change = 0; change <= round % 4 && bytes.length > 0; change++) {
      const at = random(Math.min(bytes.length, [64, 800, bytes.length][round % 3]));
      bytes[at] = [0, 1, 0xff, 0x7f, random(256)][random(5)];
    }
    const path = file('mutated', bytes);
    try {
      inspectCommand([path], PATH);
      answers.taken++;
    } catch (error) {
      if (!(error instanceof ProgramError)) throw error;
      answers.refused++;
    }
  }
  expect(answers.taken).toBeGreaterThan(0);
  expect(answers.refused).toBeGreaterThan(0);
});

describe('programs that make system calls themselves', () => {
  const NUMBERS: Record<string, Record<string, number>> = {
    x64: { connect: 42, bind: 49, listen: 50, getpid: 39, openat: 257 },
    arm64: { connect: 203, bind: 200, listen: 201, getpid: 172, openat: 56 },
  };
  const assembly = (number: number) =>
    process.arch === 'arm64'
      ? `register long x8 asm("x8") = ${number}; register long x0 asm("x0") = a; asm volatile("svc #0" : "+r"(x0) : "r"(x8) : "memory"); return x0;`
      : `long r; asm volatile("syscall" : "=a"(r) : "a"(${number}L), "D"(a), "S"(b), "d"(c) : "rcx", "r11", "memory"); return r;`;
  const compile = (name: string, text: string, flags: readonly string[] = []) => {
    const built = join(folder, name);
    const source = file(`${name}.c`, `#include <sys/socket.h>\n#include <unistd.h>\n${text}`, 0o644);
    expect(spawnSync('gcc', ['-O1', '-w', ...flags, '-o', built, source], { encoding: 'utf8' })).toMatchObject({
      status: 0,
    });
    return built;
  };
  const raw = (call: string) =>
    `static long raw(long a, long b, long c) { ${assembly(NUMBERS[process.arch][call])} }\n`;
  const able = spawnSync('gcc', ['--version']).status === 0;
  const compiled = able ? test : test.skip;

  compiled.each(['connect', 'bind', 'listen'])('%s: refused, and what was found and what to do is said', (call) => {
    for (const flags of [['-O2'], ['-s'], ['-Wl,-O2,--hash-style=sysv']]) {
      const { message, code, exitCode } = refusal([
        compile(`raw-${call}`, `${raw(call)}int main(void) { return raw(1, 2, 3); }`, flags),
      ]);
      expect([code, exitCode]).toEqual(['raw', 126]);
      expect(message).toContain(`makes system calls itself (${call})`);
      expect(message).toContain("'use-libc'");
    }
  });
  compiled('behind megabytes of other code, across the pieces that are read at once', () => {
    for (const before of [1024 * 1024 - 4096 - 30, 3 * 1024 * 1024]) {
      const padding = Array.from({ length: 12 }, (_, i) => `asm(".text; .skip ${before + i * 4}, 0x90");`);
      for (const pad of process.arch === 'x64' ? padding.slice(0, 3) : []) {
        expect(
          refusal([compile('raw-far', `${pad}\n${raw('connect')}int main(void) { return raw(1, 2, 3); }`)]).code,
        ).toBe('raw');
      }
    }
  });
  compiled.each(['getpid', 'openat'])('%s alone concerns nobody', (call) => {
    const built = compile(`raw-${call}`, `${raw(call)}int main(void) { return raw(1, 2, 3); }`);
    expect(inspectCommand([built], PATH).file).toBe(built);
  });
  compiled('a program that has the function from libc is one that uses it, also where names share their ends', () => {
    const text = `${raw('connect')}int main(void) { return raw(1, 2, 3) + connect(0, 0, 0); }`;
    for (const flags of [[], ['-Wl,-O2'], ['-Wl,--hash-style=sysv'], ['-Wl,--hash-style=gnu', '-rdynamic']]) {
      const built = compile('both', `int my_connect(void) { return 1; }\n${text}`, flags);
      expect(inspectCommand([built], PATH).file).toBe(built);
    }
  });
  compiled("rustix's functions, told by their symbols where nothing is optimised", () => {
    const symbol = '_ZN6rustix7backend3net8syscalls7connect17h89daf1a10e37ac2fE';
    const built = compile('symbol', `int ${symbol}(void) { return 1; }\nint main(void) { return ${symbol}(); }`);
    expect(refusal([built]).message).toContain('(connect)');
  });
  test('no program of this machine is taken for one', () => {
    const folders = ['/usr/bin', '/usr/sbin', '/usr/local/bin'];
    const programs = folders.flatMap((from) => readdirSync(from).map((name) => join(from, name)));
    const wrong = [process.execPath, ...programs].filter((path) => {
      try {
        inspectCommand([path], PATH);
      } catch (error) {
        if (!(error instanceof ProgramError)) throw error;
        return error.code === 'raw';
      }
      return false;
    });
    expect(wrong).toEqual([]);
  });
});

/**
 * Builds the fuzz targets of test/shim/fuzz with clang's libFuzzer, AddressSanitizer and UndefinedBehaviorSanitizer,
 * and makes what they start from: messages as the real encoders write them.
 */
import { spawn, spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { INCLUDE_NATIVE, INCLUDE_SHIM } from '../../scripts/bundle-outputs';
import { encodeReply, FILES_FILE } from '../../src/contract/abi/shim';
import { layoutTable, type TableSpec, writeTable } from '../../src/contract/abi/table';
import { parseAddress } from '../../src/contract/manifest/address';
import { writeRemaps } from '../../src/runtime/supervisor/files/remaps';
import { build, headersOf, root, shimHeaders, shimSources, testFolder, WARNINGS } from './harness';

const folder = join(testFolder, 'fuzz');
const CLANG = ['clang', 'clang-19', 'clang-18', 'clang-17', 'clang-16', 'clang-15', 'clang-14'].find(
  (name) => spawnSync(name, ['--version'], { stdio: 'ignore' }).status === 0,
);
const SANITIZED = ['-O1', '-g', '-fno-omit-frame-pointer', '-fsanitize=address,undefined', '-fno-sanitize-recover=all'];

/** clang and its fuzzer's library are there. */
export const hasFuzzer = CLANG !== undefined && existsSync(runtimeLibrary(CLANG));

function runtimeLibrary(clang: string): string {
  const arch = process.arch === 'arm64' ? 'aarch64' : 'x86_64';
  const { stdout } = spawnSync(clang, [`-print-file-name=lib/linux/libclang_rt.fuzzer-${arch}.a`], {
    encoding: 'utf8',
  });
  return stdout.trim();
}

interface Target {
  /** About as many as are done in three seconds. */
  readonly runs: number;
  readonly seeds: () => readonly Buffer[];
}

export const TARGETS: Readonly<Record<string, Target>> = {
  table: { runs: 20_000, seeds: tableSeeds },
  files: { runs: 60_000, seeds: filesSeeds },
  sockets: { runs: 60_000, seeds: () => [Buffer.from('0100020301000201020301'.repeat(8), 'hex')] },
  address: { runs: 500_000, seeds: addressSeeds },
  control: { runs: 100_000, seeds: controlSeeds },
  reply: { runs: 60_000, seeds: replySeeds },
  program: { runs: 60_000, seeds: programSeeds },
  environment: { runs: 60_000, seeds: environmentSeeds },
  addon: { runs: 60_000, seeds: () => [0, 1, 16, 17, 39].map((count) => Buffer.from([count, 1, ...Buffer.alloc(64)])) },
};

/** What they say of the process, fuzz.h says. */
const FAKED = ['shim.c', 'paths.c', 'complain.c'];

/** The source files that a target includes, to call what is static in them. */
function included(target: string): string[] {
  const text = readFileSync(join(folder, `${target}.c`), 'utf8');
  return [...text.matchAll(/#include "(.*\.c)"/g)].map((match) => join(root, 'src/shim', match[1]));
}

export async function buildTarget(target: string): Promise<string> {
  const headers = [...headersOf(folder), ...shimHeaders()];
  const source = join(folder, `${target}.c`);
  const parts = included(target);
  const clang = [CLANG!, ...WARNINGS, '-Wno-unused-function', ...INCLUDE_SHIM, ...SANITIZED];
  if (target === 'addon') {
    const addon = join(root, 'src/native/addon');
    const sources = [join(addon, 'socket.c'), ...headersOf(addon)];
    // What it calls of Node.js is not there, and never called.
    const flags = [
      ...INCLUDE_NATIVE,
      '-I',
      'node_modules/node-api-headers/include',
      '-no-pie',
      '-Wl,--unresolved-symbols=ignore-all',
    ];
    return build('fuzz-addon', [source], [...headers, ...sources], [...clang, '-fsanitize=fuzzer', ...flags]);
  }
  const others = shimSources().filter(
    (file) => !file.includes('/hooks/') && !FAKED.includes(basename(file)) && !parts.includes(file),
  );
  const objects: string[] = [];
  for (const file of others) {
    const command = [...clang, '-fsanitize=fuzzer-no-link', '-c'];
    objects.push(await build(`fuzz-${basename(file, '.c')}.o`, [file], headers, command));
  }
  const flags = ['-fsanitize=fuzzer', ...objects, '-ldl', '-lpthread'];
  return build(`fuzz-${target}`, [source], [...headers, ...parts], [...clang, ...flags]);
}

export interface Fuzzed {
  readonly code: number | null;
  /** The end of what the fuzzer said. */
  readonly said: string;
}

/**
 * Fuzzes a target from its seeds and from the inputs that once broke it.
 * @param limits libFuzzer's options that say when it is done
 * @param keep where inputs that break it are kept
 */
export async function fuzz(target: string, limits: readonly string[], keep: string): Promise<Fuzzed> {
  const program = await buildTarget(target);
  const corpus = mkdtempSync(join(tmpdir(), 'imaginary-fuzz-'));
  try {
    TARGETS[target].seeds().forEach((seed, i) => {
      writeFileSync(join(corpus, `seed-${i}`), seed);
    });
    const regressions = join(folder, 'regressions', target);
    mkdirSync(keep, { recursive: true });
    const args = [
      ...limits,
      '-seed=1',
      '-timeout=10',
      '-rss_limit_mb=1024',
      '-max_len=8192',
      `-artifact_prefix=${join(keep, `${target}-`)}`,
      corpus,
      ...(existsSync(regressions) ? [regressions] : []),
    ];
    const child = spawn(program, args, { cwd: root, stdio: ['ignore', 'pipe', 'pipe'] });
    let said = '';
    const hear = (text: string) => {
      said = (said + text).slice(-4000);
    };
    child.stdout.setEncoding('utf8').on('data', hear);
    child.stderr.setEncoding('utf8').on('data', hear);
    const code = await new Promise<number | null>((done, fail) => child.on('error', fail).on('close', done));
    return { code, said };
  } finally {
    rmSync(corpus, { recursive: true, force: true });
  }
}

const SPEC: TableSpec = {
  cluster: 'test',
  cidr: '100.64.0.0/10',
  self: { name: 'web', address: '100.64.1.1', nodeId: 0 },
  directory: [
    { name: 'web', aliases: ['www'], address: '100.64.1.1', nodeId: 0 },
    { name: 'api', aliases: [], address: '100.64.1.2', nodeId: 1 },
    { name: 'db', aliases: ['cache'], address: '100.64.1.3', nodeId: 2 },
  ],
  aliases: 230,
};

function table(handoff: boolean): Buffer {
  const layout = layoutTable({ ...SPEC, handoff, portsCapacity: 8 });
  const memory = new ArrayBuffer(layout.size);
  const at = (text: string) => parseAddress(text)!;
  const listener = (address: string, scope: 'any' | 'host' | 'loopback6', protocol?: 'udp') =>
    ({ address: at(address), port: 80, real: at('127.230.1.2'), realPort: 8080, scope, protocol }) as const;
  writeTable(memory, layout).write(
    [
      { address: at('100.64.1.2'), direct: { real: at('127.230.1.2'), epoch: 1_790_000_000_123 } },
      { address: at('100.64.1.3') },
    ],
    [
      listener('100.64.1.1', 'loopback6'),
      listener('100.64.1.1', 'any'),
      listener('100.64.1.2', 'any'),
      listener('100.64.1.2', 'host', 'udp'),
    ],
  );
  return Buffer.from(memory);
}

/** `count`, the words that are written over the table while it is in use, and the table. */
function tableSeeds(): Buffer[] {
  const written = Buffer.alloc(17);
  written[0] = 2;
  // The writer's number, odd; and into the text of the names.
  written.writeUInt32LE(8, 1);
  written.writeUInt32LE(3, 5);
  const whole = table(false);
  written.writeUInt32LE(whole.length - 4, 9);
  written.writeUInt32LE(0x61616161, 13);
  return [
    Buffer.concat([Buffer.alloc(1), whole]),
    Buffer.concat([Buffer.alloc(1), table(true)]),
    Buffer.concat([written, whole]),
  ];
}

function filesSeeds(): Buffer[] {
  const run = mkdtempSync(join(tmpdir(), 'imaginary-fuzz-'));
  try {
    const own = { '/etc/app': '/opt/app/etc', '/etc/app/secret': '/run/secret' };
    writeRemaps(run, { cluster: SPEC.cluster, self: { ...SPEC.self, epoch: 1 }, directory: SPEC.directory }, own);
    const file = readFileSync(join(run, FILES_FILE));
    return ['/etc/hosts', '/etc//app/../app/./x/', 'etc/hosts'].map((path) => {
      const size = Buffer.alloc(2);
      size.writeUInt16LE(path.length);
      return Buffer.concat([size, Buffer.from(path), file]);
    });
  } finally {
    rmSync(run, { recursive: true, force: true });
  }
}

function replySeeds(): Buffer[] {
  const address = { real: 0x7fe60102, realPort: 8080, epoch: 1_790_000_000_123 };
  return [encodeReply({ status: 0, ...address }), encodeReply({ status: 111 })];
}

function addressSeeds(): Buffer[] {
  const sized = (...bytes: number[]) => Buffer.from([16, ...bytes]);
  const mapped = [10, 0, 0, 80, 0, 0, 0, 0, ...new Array(10).fill(0), 0xff, 0xff, 100, 64, 1, 2, 0, 0, 0, 0];
  return [sized(2, 0, 0, 80, 100, 64, 1, 2, ...new Array(8).fill(0)), sized(...mapped), sized(0, 0)];
}

/** Our address, the source, an address, and control data with IP_TTL and IP_PKTINFO. */
function controlSeeds(): Buffer[] {
  const message = (type: number, size: number) => {
    const bytes = Buffer.alloc(16 + Math.ceil(size / 8) * 8);
    bytes.writeBigUInt64LE(BigInt(16 + size));
    bytes.writeInt32LE(type, 12);
    return bytes;
  };
  const front = Buffer.alloc(9 + 16);
  front.writeUInt32LE(0x7fe60000, 0);
  front.writeUInt32LE(0x7fe60101, 4);
  front[8] = 16;
  front[9] = 2;
  return [Buffer.concat([front, message(2, 4), message(8, 12)]), Buffer.concat([front, message(8, 12)])];
}

function programSeeds(): Buffer[] {
  return [
    readFileSync('/bin/true').subarray(0, 4096),
    Buffer.from('#!/bin/sh -e\ntrue\n'),
    Buffer.from('#!/bin/true\n'),
  ];
}

function environmentSeeds(): Buffer[] {
  return [
    ['PATH=/bin', 'LD_PRELOAD=libm.so.6 /opt/imaginary/shim-musl.so:libc.so.6', 'IMAGINARY_DIR=/run'],
    ['LD_PRELOAD=/opt/imaginary/shim-glibc.so', 'IMAGINARY_DIR=/run/imaginary'],
    ['PATH=/bin'],
  ].map((entries) => Buffer.from(entries.map((entry) => `${entry}\0`).join('')));
}

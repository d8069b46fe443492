/**
 * libuv's own test suite: what it has of TCP, UDP, names, pipes, polling and child processes. Built from a checkout
 * that IMAGINARY_LIBUV_SOURCE names, or else from Debian's source package, that apt-get fetches with the machine's own
 * sources.
 */
import { spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import type { Ended, Known, Outcome, Outcomes } from './compare';
import { type Part, type Runner, type Suite, SuiteMissingError } from './suite';

const CACHE = resolve(__dirname, '../../../node_modules/.cache/libuv');
const PARTS = ['tcp', 'udp', 'getaddrinfo', 'getnameinfo', 'pipe', 'poll', 'spawn', 'ipc'];
/** The suite refuses to run as root unless it is told to. */
const ENVIRONMENT = { UV_RUN_AS_ROOT: '1' };
/** What a test's process says by its exit code. */
const OUTCOMES: Readonly<Record<number, Outcome>> = { 0: 'ok', 7: 'skip' };
/** Each test is ended by the suite itself after a few seconds; this is for all of a part. */
const PART_LIMIT = 600_000;

/** Tests that say nothing of the shim, and why. */
const LEFT_OUT: Readonly<Record<string, string>> = {
  tcp_close_while_connecting: 'it ends as the network answers for 1.2.3.4: within a millisecond, or not',
};
/** Where the machine has an interface that can do multicast; elsewhere both sides skip. */
const KNOWN: readonly Known[] = [
  {
    test: 'udp_multicast_join',
    native: 'ok',
    shim: 'fail',
    reason:
      "a socket bound to the wildcard and a port stands at the host's own loopback alias, which gets no multicast",
  },
  {
    test: 'udp_multicast_join6',
    native: 'ok',
    shim: 'skip',
    reason: 'the interface that a guest sees has no IPv6 address',
  },
];

export function findLibuv(): Suite {
  const source = process.env.IMAGINARY_LIBUV_SOURCE ?? debianSource();
  const program = build(source);
  const tests = must(program, ['--list'])
    .split('\n')
    .map((line) => line.trim().split(/\s/)[0])
    .filter((test) => !(test in LEFT_OUT));
  return {
    name: 'libuv',
    version: source,
    parts: PARTS.map((name) => partOf(program, name, tests)).filter((part) => part.weight > 0),
    leftOut: Object.entries(LEFT_OUT).map(([test, reason]) => `${test}: ${reason}`),
    known: KNOWN,
    // All tests use the same few ports.
    alone: true,
  };
}

function partOf(program: string, name: string, all: readonly string[]): Part {
  const tests = all.filter((test) => test.startsWith(name));
  const run: Part['run'] = (runner, only) => runTests(program, only ?? tests, runner);
  return { name: `libuv_${name}`, weight: tests.length, run };
}

/** $0 FOLDER TEST...: what each test said and how it ended, in files. */
const ONE_BY_ONE =
  'folder=$1; shift; for test; do "$0" "$test" >"$folder/$test.log" 2>&1; echo $? >"$folder/$test.code"; done';

/** All on one host, one after the other: each finds what the one before has left behind. */
async function runTests(program: string, tests: readonly string[], runner: Runner): Promise<Outcomes> {
  const folder = mkdtempSync(join(tmpdir(), 'imaginary-conformance-'));
  const ended = (test: string): Ended => {
    const [log, code] = ['log', 'code'].map((suffix) => join(folder, `${test}.${suffix}`));
    if (!existsSync(code)) return { outcome: 'missing', seconds: 0, detail: 'the test did not end' };
    const outcome = OUTCOMES[Number(readFileSync(code, 'utf8'))] ?? 'fail';
    return { outcome, seconds: 0, detail: readFileSync(log, 'utf8') };
  };
  try {
    await runner(['sh', '-c', ONE_BY_ONE, program, folder, ...tests], { timeout: PART_LIMIT, env: ENVIRONMENT });
    return new Map(tests.map((test) => [test, ended(test)]));
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

/** Debian's unmodified upstream source, fetched once. */
function debianSource(): string {
  const existing = unpacked();
  if (existing) return existing;
  const work = mkdtempSync(join(tmpdir(), 'imaginary-libuv-'));
  try {
    // Lists of its own: the machine's are root's, and mostly without source packages.
    for (const folder of ['lists/partial', 'sources', 'archives/partial'])
      mkdirSync(join(work, folder), { recursive: true });
    writeSources(join(work, 'sources'));
    const apt = [
      `Dir::Etc::sourcelist=/dev/null`,
      `Dir::Etc::sourceparts=${join(work, 'sources')}`,
      `Dir::State::lists=${join(work, 'lists')}`,
      `Dir::Cache=${work}`,
    ].flatMap((option) => ['-o', option]);
    must('apt-get', [...apt, '-qq', 'update'], work);
    must('apt-get', [...apt, '-qq', 'source', '--download-only', 'libuv1'], work);
    const archive = readdirSync(work).find((name) => /\.orig\.tar\./.test(name));
    if (!archive) throw new SuiteMissingError('libuv', 'apt-get source libuv1 brought no .orig.tar');
    must('tar', ['xf', archive], work);
    const folder = readdirSync(work).find((name) => existsSync(join(work, name, 'test/test-list.h')));
    if (!folder) throw new SuiteMissingError('libuv', `${archive} has no test suite`);
    mkdirSync(CACHE, { recursive: true });
    must('cp', ['-r', folder, join(CACHE, `${folder}.new`)], work);
    renameSync(join(CACHE, `${folder}.new`), join(CACHE, folder));
    return unpacked()!;
  } finally {
    rmSync(work, { recursive: true, force: true });
  }
}

function unpacked(): string | undefined {
  const names = existsSync(CACHE) ? readdirSync(CACHE) : [];
  const name = names.find((entry) => existsSync(join(CACHE, entry, 'test/test-list.h')) && !entry.endsWith('.new'));
  return name && join(CACHE, name);
}

/** The machine's sources of packages, as sources of source packages. */
function writeSources(folder: string): void {
  const list = '/etc/apt/sources.list';
  const parts = '/etc/apt/sources.list.d';
  if (existsSync(list)) {
    const lines = readFileSync(list, 'utf8')
      .split('\n')
      .filter((line) => /^deb\s/.test(line));
    writeFileSync(
      join(folder, 'machine.list'),
      lines.map((line) => `${line.replace(/^deb\s/, 'deb-src ')}\n`).join(''),
    );
  }
  const debian = join(parts, 'debian.sources');
  if (existsSync(debian)) {
    const text = readFileSync(debian, 'utf8').replace(/^Types:.*$/gm, 'Types: deb-src');
    writeFileSync(join(folder, 'debian.sources'), text);
  }
}

/** The test program, built beside the other caches; the source's folder stays as it is. */
function build(source: string): string {
  const folder = join(CACHE, `build-${createHash('sha256').update(resolve(source)).digest('hex').slice(0, 12)}`);
  must('cmake', ['-S', source, '-B', folder, '-DBUILD_TESTING=ON', '-DCMAKE_BUILD_TYPE=Release']);
  must('cmake', ['--build', folder, '--target', 'uv_run_tests', '--parallel', '2']);
  return join(folder, 'uv_run_tests');
}

function must(command: string, args: readonly string[], cwd?: string): string {
  const env = { ...process.env, ...ENVIRONMENT };
  const { status, stdout, stderr, error } = spawnSync(command, args, { cwd, env, encoding: 'utf8' });
  if (status === 0) return stdout;
  const why = error ? error.message : `exit ${status}\n${(stderr + stdout).trim().split('\n').slice(-15).join('\n')}`;
  const next = 'name a checkout of libuv in IMAGINARY_LIBUV_SOURCE; cmake and gcc build it';
  throw new SuiteMissingError('libuv', `${command} ${args.join(' ')}: ${why}\n${next}`);
}

/** The connector and its reactor without Node.js: programs with memory and thread checks. */
import { execFileSync, spawnSync } from 'node:child_process';
import { mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { has, hasAddressSanitizer } from '../shim/harness';

const SOURCES = resolve(__dirname, '../../src/native');
const folder = mkdtempSync(join(tmpdir(), 'imaginary-connector-'));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

/** Each is a program with a `main` of its own. */
const PROGRAMS = [
  'reactor',
  'connector',
  'connector-faults',
  'connector-many',
  'connector-signalling',
  'connector-meeting',
  'connector-listeners',
  'connector-secrets',
  'connector-limits',
  'connector-service',
];

const cFiles = (dir: string) =>
  readdirSync(dir)
    .filter((file) => file.endsWith('.c'))
    .map((file) => join(dir, file));

function build(main: string, name: string, flags: readonly string[]): string {
  const files = [
    ...['base', 'connector'].flatMap((part) => cFiles(join(SOURCES, part))),
    ...['members', main].map((file) => join(__dirname, `${file}.c`)),
  ];
  const program = join(folder, `${main}-${name}`);
  const always = [
    '-std=c11',
    '-g',
    '-O1',
    '-Wall',
    '-Wextra',
    '-Werror',
    '-pthread',
    '-I',
    SOURCES,
    '-I',
    join(SOURCES, '..'),
  ];
  execFileSync('gcc', [...always, ...flags, '-o', program, ...files], { stdio: 'inherit' });
  return program;
}

function passes(command: string, ...args: string[]) {
  const { status, stdout, stderr } = spawnSync(command, args, { encoding: 'utf8' });
  expect({ status, stderr, last: stdout.trim().split('\n').at(-1) }).toEqual({ status: 0, stderr: '', last: 'ok' });
}

const sanitized = hasAddressSanitizer ? test : test.skip;

describe.each(PROGRAMS)('%s', (main) => {
  sanitized('under AddressSanitizer and UBSan', () => {
    passes(build(main, 'address', ['-fsanitize=address,undefined', '-fno-sanitize-recover']));
  });

  sanitized('under ThreadSanitizer', () => {
    // Its shadow memory needs the addresses where they were when it was written.
    passes('setarch', '-R', build(main, 'thread', ['-fsanitize=thread']));
  });

  (has('valgrind') && has('gcc') ? test : test.skip)('under valgrind', () => {
    passes('valgrind', '-q', '--error-exitcode=3', '--leak-check=full', build(main, 'plain', []));
  });
});

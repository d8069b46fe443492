/** The connector and its reactor without Node.js: programs, to be built with checks. */
import { execFileSync, spawnSync } from 'node:child_process';
import { mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';

const SOURCES = resolve(__dirname, '../../src/native');
const folder = mkdtempSync(join(tmpdir(), 'imaginary-connector-'));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

/** Each is a program with a `main` of its own. */
export const PROGRAMS = [
  'reactor',
  'connector',
  'connector-faults',
  'connector-many',
  'connector-signalling',
  'connector-meeting',
  'connector-listeners',
  'connector-secrets',
  'connector-limits',
];

const cFiles = (dir: string) =>
  readdirSync(dir)
    .filter((file) => file.endsWith('.c'))
    .map((file) => join(dir, file));

export function build(main: string, name: string, flags: readonly string[]): string {
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

export function passes(command: string, ...args: string[]) {
  const { status, stdout, stderr } = spawnSync(command, args, { encoding: 'utf8' });
  expect({ status, stderr, last: stdout.trim().split('\n').at(-1) }).toEqual({ status: 0, stderr: '', last: 'ok' });
}

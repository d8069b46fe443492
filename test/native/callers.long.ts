/** Clients of an ingress come, leave and are decided about at once: with sanitizers, nothing of it is an error. */
import { execFileSync } from 'node:child_process';
import { mkdirSync, readdirSync } from 'node:fs';
import { join } from 'node:path';

const root = join(__dirname, '../..');
const native = join(root, 'src/native');
const folder = join(root, 'node_modules/.cache/callers-test');
const cFiles = (part: string) =>
  readdirSync(join(native, part))
    .filter((name) => name.endsWith('.c'))
    .map((name) => join(native, part, name));
const SOURCES = [...cFiles('base'), ...cFiles('relay')];
const FLAGS = [
  '-std=c11',
  '-Wall',
  '-Wextra',
  '-Werror',
  '-g',
  '-O1',
  '-pthread',
  '-I',
  native,
  '-I',
  join(root, 'src'),
];

function run(name: string, sanitizer: string) {
  mkdirSync(folder, { recursive: true });
  const program = join(folder, `${name}-${sanitizer.replace(',', '-')}`);
  const sources = [join(__dirname, `${name}.c`), ...SOURCES];
  execFileSync('gcc', [...FLAGS, `-fsanitize=${sanitizer}`, '-o', program, ...sources]);
  return JSON.parse(execFileSync(program, { encoding: 'utf8', timeout: 100_000 }));
}

describe.each(['address,undefined', 'thread'])('with -fsanitize=%s', (sanitizer) => {
  test('1,500 clients', () => {
    // Of each 50 clients, 17 stay, and 6 of those are connected or admitted.
    expect(run('callers', sanitizer)).toEqual({
      ...{ served: 180, refused: 300, connected: 300, admitted: 300, heard: 300, taken: 300, answered: 25 },
      ...{ withdrawn: 50, answeredLater: 50 },
    });
  }, 120_000);

  test('clients that are led, and those that cannot be', () => {
    // Four at the port with few, one whose guest refuses, and 21 whose guest does not answer.
    expect(run('leads', sanitizer)).toEqual({ asked: 26, unlisted: 1 });
  }, 120_000);
});

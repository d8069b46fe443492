/** Every option of every command that takes a value: a bad one is told as a mistake of the command line. */
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Command } from 'commander';
import { buildProgram } from '../../src/cli/program';
import { processStart } from '../../src/local/platform/platform-file';
import { PLATFORM_INFO } from '../support/platform-info';
import { imaginary, temporaryFolder } from './run';

jest.setTimeout(180_000);

/** By the option's name: the values that are none. `no folder` is a file's path. */
const BAD: Readonly<Record<string, readonly string[]>> = {
  '--state': ['no folder'],
  '--cluster': ['nobody'],
  '--port': ['x', '0', '65536'],
  '--sandbox': ['some'],
  '--network': ['bridge'],
  '--nat': ['foo', 'nobody=symmetric', ''],
  '--rtt': ['x', '-1', '10001'],
  '--concurrency': ['x', '0', '1.5', '100001'],
  '--host': ['nobody'],
  '--as': ['nobody'],
  '--tail': ['x', '-1', '1.5'],
  '--since': ['yesterday', '5', '5 m', '2026-99-99'],
  '--overlap': ['x', '-1', '86401'],
};

const commands = buildProgram('0', () => undefined).commands.filter((command) => command.name() !== 'daemon');
const cases = commands.flatMap((command: Command) =>
  command.options
    .filter((option) => option.required)
    .flatMap((option) =>
      (BAD[option.long!] ?? ['(this test knows no bad value)']).map((v) => [command.name(), option.long!, v] as const),
    ),
);

let folder: string;
let running: string;
beforeAll(() => {
  folder = temporaryFolder();
  running = join(folder, 'running');
  mkdirSync(running);
  const manifest = { version: 1, cluster: { name: 'shop' }, hosts: [] };
  writeFileSync(join(folder, 'no folder'), '');
  writeFileSync(join(folder, 'manifest.json'), JSON.stringify(manifest));
  writeFileSync(join(running, 'manifest.json'), JSON.stringify(manifest));
  // A cloud assembly with one cluster.
  mkdirSync(join(folder, 'cdk.out'));
  const template = {
    Resources: { Seed: { Type: 'AWS::EC2::Instance', Metadata: { 'imaginary:manifest': { path: 'm.json' } } } },
  };
  writeFileSync(join(folder, 'cdk.out', 'm.json'), JSON.stringify(manifest));
  writeFileSync(join(folder, 'cdk.out', 's.template.json'), JSON.stringify(template));
  const stack = { type: 'aws:cloudformation:stack', properties: { templateFile: 's.template.json' } };
  writeFileSync(join(folder, 'cdk.out', 'manifest.json'), JSON.stringify({ artifacts: { s: stack } }));
  // A platform that runs: this process.
  const info = {
    ...PLATFORM_INFO,
    ...{ pid: process.pid, processStart: processStart(process.pid), ended: undefined },
    manifestFile: join(running, 'manifest.json'),
  };
  writeFileSync(join(running, 'platform.json'), JSON.stringify(info));
});

test.each(cases)('%s %s %j: exit code 2', (command, option, value) => {
  const state = option === '--state' ? [] : ['--state', command === 'up' ? join(folder, 'fresh') : running];
  const given = [option, option === '--state' ? join(folder, value) : value];
  const target: Record<string, readonly string[]> = {
    up: [join(folder, option === '--cluster' ? 'cdk.out' : 'manifest.json')],
    exec: ['--', 'true'],
  };
  const { code, stdout, stderr } = imaginary([command, ...state, ...given, ...(target[command] ?? [])]);
  expect({ code, stdout, stderr }).toMatchObject({ code: 2, stdout: '' });
  expect(stderr).toMatch(/^imaginary: /);
  expect(stderr).toMatch(/^next: /m);
});

test('a host that there is not', () => {
  expect(imaginary(['logs', '--state', running, 'nobody'])).toMatchObject({ code: 2, stdout: '' });
});

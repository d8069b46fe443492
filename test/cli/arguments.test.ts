import { readFileSync, writeFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { imaginary, temporaryFolder } from './run';

test('--version is that of the package', () => {
  const { version } = JSON.parse(readFileSync(resolve(__dirname, '../../package.json'), 'utf8'));
  expect(imaginary(['--version'])).toEqual({ code: 0, stdout: `${version}\n`, stderr: '' });
});

test('--help lists the commands with examples and exit codes; the daemon is not for people', () => {
  const { code, stdout } = imaginary(['--help']);
  expect(code).toBe(0);
  for (const command of ['up', 'down', 'ps', 'edges', 'events', 'logs', 'exec', 'join', 'forward', 'open'])
    expect(stdout).toMatch(new RegExp(`^  ${command} `, 'm'));
  expect(stdout).toContain('Exit codes:');
  expect(stdout).not.toContain('daemon');
});

test.each(['up', 'down', 'ps', 'edges', 'events', 'logs', 'exec', 'join', 'forward', 'open'])(
  '%s --help has examples',
  (command) => {
    const { code, stdout } = imaginary([command, '--help']);
    expect(code).toBe(0);
    expect(stdout).toMatch(new RegExp(`Examples:\\n  imaginary ${command}`));
    expect(stdout).toContain('--json');
  },
);

test('no arguments: the help, on standard error, and exit code 2', () => {
  const { code, stdout, stderr } = imaginary([]);
  expect([code, stdout]).toEqual([2, '']);
  expect(stderr).toContain('Usage: imaginary');
});

test.each([
  [['fly'], /unknown command 'fly'/, 'imaginary --help'],
  [['ps', '--wide'], /unknown option '--wide'/, 'imaginary ps --help'],
  [['up', '--port', '70000'], /'70000' is invalid. It must be 1 to 65535/, 'imaginary up --help'],
  [['up', '--sandbox', 'some'], /'some' is invalid. Allowed choices are auto, none/, 'imaginary up --help'],
  [['exec'], /missing required argument 'command'/, 'imaginary exec --help'],
  [['exec', '--'], /missing required argument 'command'/, 'imaginary exec --help'],
  [['join'], /required option '--name <name>' not specified/, 'imaginary join --help'],
  [['join', '--name', 'db', '--seed', 'here'], /'here' is invalid. It must be like 192/, 'imaginary join --help'],
  [['join', '--name', 'db', '--wait', '0'], /'0' is invalid. It must be a number of hosts/, 'imaginary join --help'],
  [['join', '--name', 'db', '--wait', 'A_b'], /'A_b' is invalid. It must be a number/, 'imaginary join --help'],
  [['join', '--name', 'db', '--wait-timeout', '0'], /'0' is invalid. It must be a number/, 'imaginary join --help'],
  [['up', 'a', 'b'], /too many arguments/, 'imaginary up --help'],
])('%j: exit code 2, what is wrong, and which help', (args, message, help) => {
  const { code, stdout, stderr } = imaginary(args);
  expect([code, stdout]).toEqual([2, '']);
  expect(stderr).toMatch(message);
  expect(stderr).toContain(`next: ${help}`);
});

test('with --json errors are one object on standard output', () => {
  const { code, stdout, stderr } = imaginary(['ps', '--json', '--wide']);
  expect([code, stderr]).toEqual([2, '']);
  expect(JSON.parse(stdout)).toEqual({
    error: { code: 'usage', message: "unknown option '--wide'", next: 'imaginary ps --help' },
  });
});

describe('where nothing runs', () => {
  const state = () => ['--state', temporaryFolder()];
  test.each([['ps'], ['edges'], ['events']])('%s: exit code 1, and how to boot', (command) => {
    const { code, stderr } = imaginary([command, ...state()]);
    expect(code).toBe(1);
    expect(stderr).toMatch(/no cluster is running/);
    expect(stderr).toMatch(/next: .*imaginary up/);
  });
  test('exec: 125, which no command is mistaken for', () => {
    expect(imaginary(['exec', ...state(), '--', 'true'])).toMatchObject({ code: 125, stdout: '' });
  });
  test('logs: exit code 1', () => {
    expect(imaginary(['logs', ...state(), 'web']).code).toBe(1);
  });
  test('down: exit code 0, and says so', () => {
    const { code, stdout } = imaginary(['down', ...state()]);
    expect(code).toBe(0);
    expect(stdout).toMatch(/^nothing is running/);
  });
});

describe('up', () => {
  test('a path that is not there: exit code 2', () => {
    const { code, stderr } = imaginary(['up', 'no/such/folder']);
    expect(code).toBe(2);
    expect(stderr).toContain("there is no 'no/such/folder'");
  });
  test('a folder with nothing to boot names what it looked for', () => {
    const { code, stderr } = imaginary(['up'], { cwd: temporaryFolder() });
    expect(code).toBe(2);
    expect(stderr).toMatch(/no cdk.json, no cloud assembly and no manifest.json/);
  });
  test('an app that fails: its own output and exit code, and how to run it by itself', () => {
    const folder = temporaryFolder();
    writeFileSync(join(folder, 'cdk.json'), JSON.stringify({ app: 'echo no such region >&2; exit 3' }));
    const { code, stderr } = imaginary(['up', folder]);
    expect(code).toBe(1);
    expect(stderr).toContain('failed (exit code 3); it said:\n  no such region');
    expect(stderr).toContain(`next: Run it by itself: cd ${folder}`);
  });
  test('a manifest that cannot work: every problem, word for word', () => {
    const file = join(temporaryFolder(), 'manifest.json');
    writeFileSync(
      file,
      JSON.stringify({ version: 1, cluster: { name: 'bad name' }, hosts: [{ name: 'web', address: '10.0.0.1' }] }),
    );
    const { code, stderr } = imaginary(['up', file]);
    expect(code).toBe(1);
    expect(stderr).toContain(file);
    expect(stderr).toContain('cluster.name: is "bad name"; allowed: 1-32 letters, digits or hyphens');
  });
});

import { once } from 'node:events';
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { constants, tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { bootCluster, finish, prepareCluster, type TestCluster } from '../support/cluster';

const python = '/usr/bin/python3';

let cluster: TestCluster;
beforeAll(async () => {
  cluster = await bootCluster(
    [
      { name: 'files', aliases: ['www'], command: [python, '-u', '-m', 'http.server', '8000'] },
      { name: 'absent', command: ['/usr/bin/no-such-program', '--flag'] },
    ],
    { name: 'cli', files: { 'hello.txt': 'hello\n' } },
  );
});
afterAll(() => cluster?.dispose());

const shell = (script: string) => cluster.exec(['/bin/sh', '-c', script]);

describe('ps', () => {
  test('a table for people, one object for programs', async () => {
    const { stdout } = await cluster.imaginary(['ps']);
    expect(stdout).toMatch(/^HOST +ADDRESS +STATE +SINCE +ALLOCATIONS +ALLOCATE-MS +HELD BY +PORTS\n/);
    expect(stdout).toMatch(/^files +100\.64\.\d+\.\d+ +imagined +\S+ +0 +- +- +-$/m);
    const status = JSON.parse((await cluster.imaginary(['ps', '--json'])).stdout);
    expect(status).toMatchObject({ cluster: 'cli', cidr: '100.64.0.0/16' });
    expect(status.hosts[0]).toMatchObject({ name: 'files', state: 'imagined', allocations: 0, ports: [] });
  });
});

describe('exec', () => {
  test('passes input, output and error through, and allocates by name and alias', async () => {
    const run = await cluster.exec(
      [python, '-c', 'import sys; print(sys.stdin.read()); print("bad", file=sys.stderr)'],
      {
        input: 'in',
      },
    );
    expect(run).toEqual({ code: 0, stdout: 'in\n', stderr: 'bad\n' });
    expect((await cluster.exec(['curl', '-sS', 'http://files:8000/hello.txt'])).stdout).toBe('hello\n');
    expect((await cluster.exec(['curl', '-sS', 'http://www:8000/hello.txt'])).stdout).toBe('hello\n');
    expect(await cluster.host('files')).toMatchObject({ state: 'running', allocations: 1, ports: [8000] });
  });

  test("its exit code is the command's", async () => {
    expect((await shell('exit 7')).code).toBe(7);
    expect((await shell('kill -TERM $$')).code).toBe(143);
  });

  test('126 and 127 as a shell has them, with the reason', async () => {
    const missing = await cluster.exec(['no-such-command']);
    expect(missing).toMatchObject({ code: 127, stdout: '' });
    expect(missing.stderr).toContain('no-such-command');
    const data = await cluster.exec([join(cluster.folder, 'manifest.json')]);
    expect(data.code).toBe(126);
  });

  test('signals reach the command', async () => {
    const child = cluster.start(['/bin/sh', '-c', 'trap "exit 9" TERM; echo ready; while :; do sleep 1; done']);
    const ended = finish(child, 'exec of a trap');
    await once(child.stdout!, 'data');
    child.kill('SIGTERM');
    expect((await ended).code).toBe(9);
  });

  test('--as an unknown host lists the hosts', async () => {
    const run = await cluster.exec(['true'], { as: 'nobody' });
    expect(run).toMatchObject({ code: 2, stdout: '' });
    expect(run.stderr).toContain("no host 'nobody'");
    expect(run.stderr).toContain('files or www, absent');
  });

  test('--json: one object on standard error when it is over', async () => {
    const run = await cluster.imaginary(['exec', '--json', '--', 'sh', '-c', 'echo out; exit 3']);
    expect(run).toMatchObject({ code: 3, stdout: 'out\n' });
    expect(JSON.parse(run.stderr)).toMatchObject({
      command: ['sh', '-c', 'echo out; exit 3'],
      exitCode: 3,
      signal: null,
    });
  });

  test('leaves nothing behind', async () => {
    const before = leftBehind();
    await cluster.exec(['true']);
    expect(leftBehind()).toEqual(before);
  });
});
const leftBehind = () => readdirSync(tmpdir()).filter((name) => /^imaginary-.*-exec-/.test(name));

test('a missing guest binary: ECONNREFUSED; events and logs say which file on which host', async () => {
  const connect = "import socket; print(socket.socket().connect_ex(('absent', 80)))";
  expect((await cluster.exec([python, '-c', connect])).stdout).toBe(`${constants.errno.ECONNREFUSED}\n`);
  const { stdout } = await cluster.imaginary(['events', '--host', 'absent']);
  expect(stdout).toMatch(/ absent +\S+ .*\/usr\/bin\/no-such-program/);
  expect(stdout).not.toMatch(/ files /);
  expect(await cluster.logs('absent')).toContain('/usr/bin/no-such-program');
  expect((await cluster.imaginary(['ps'])).stdout).toMatch(/^absent: .*\/usr\/bin\/no-such-program/m);
});

describe('events', () => {
  test('--follow tells what happens, as it happens', async () => {
    const seen = await cluster.waitFor((e) => e.host === 'files' && e.event === 'running');
    expect(seen.time).toBeGreaterThan(Date.now() - 120_000);
    expect(seen.detail).toMatchObject({ port: 8000 });
  });
  test('for people: time, host, event, facts', async () => {
    const { stdout } = await cluster.imaginary(['events']);
    expect(stdout).toMatch(/^\d\d:\d\d:\d\d\.\d{3} files +allocating +.*port=8000/m);
  });
  test('a reader that goes away ends it quietly', async () => {
    const run = await cluster.exec([
      'sh',
      '-c',
      `"${process.execPath}" "${CLI}" events --state "${cluster.state}" | head -n 1`,
    ]);
    expect(run).toMatchObject({ code: 0, stderr: '' });
    expect(run.stdout.split('\n')).toHaveLength(2);
  });
  test('an unknown host', async () => {
    expect(await cluster.imaginary(['events', '--host', 'nobody'])).toMatchObject({ code: 2, stdout: '' });
  });
});
const CLI = join(__dirname, '../../assets/cli/imaginary.js');

describe('logs', () => {
  test('what the guest wrote', async () => {
    expect(await cluster.logs('files')).toContain('"GET /hello.txt HTTP/1.1" 200');
    expect(await cluster.logs('www')).toContain('"GET /hello.txt HTTP/1.1" 200');
  });
  test('--json: one object per line', async () => {
    const { stdout } = await cluster.imaginary(['logs', 'files', '--json']);
    for (const line of stdout.trim().split('\n')) expect(JSON.parse(line)).toMatchObject({ host: 'files' });
  });
  test('--follow shows what is written from now on', async () => {
    const follower = cluster.follow(['logs', 'files', '--follow']);
    try {
      const lines = createInterface({ input: follower.stdout! });
      const shown = (async () => {
        for await (const line of lines) if (line.includes('/later')) return line;
        return undefined;
      })();
      await cluster.exec(['curl', '-sS', 'http://files:8000/later']);
      expect(await shown).toContain('404');
    } finally {
      follower.kill();
    }
  });
  test('of the seed, and of a host that does not exist', async () => {
    expect(await cluster.logs('seed')).toContain('seed-started');
    const unknown = await cluster.imaginary(['logs', 'nobody']);
    expect(unknown.code).toBe(2);
    expect(unknown.stderr).toContain('files or www, absent');
  });
});

describe('up', () => {
  test('a second one with the same state directory is refused, with the way out', async () => {
    const again = await cluster.up();
    expect(again.code).toBe(1);
    expect(again.stderr).toMatch(/already up/);
    expect(again.stderr).toContain(`imaginary down --state`);
    expect(JSON.parse((await cluster.up('--json')).stdout)).toMatchObject({ error: { code: 'already-running' } });
  });

  test('a bad manifest: every problem, and nothing is left running', async () => {
    const bad = prepareCluster([{ name: 'x', command: ['true'], memorySize: 64 }]);
    try {
      const run = await bad.up();
      expect(run).toMatchObject({ code: 1, stdout: '' });
      expect(run.stderr).toContain(
        "hosts.0.memorySize: is 64 on host 'x'; allowed: a whole number of MB from 128 to 10240",
      );
      expect((await bad.imaginary(['ps'])).code).toBe(1);
    } finally {
      await bad.dispose();
    }
  });

  test('a CDK app that declares no cluster', async () => {
    const none = prepareCluster([]);
    const app = join(none.folder, 'app');
    mkdirSync(app);
    writeFileSync(
      join(app, 'cdk.json'),
      JSON.stringify({ app: 'echo \'{"artifacts":{}}\' > $CDK_OUTDIR/manifest.json' }),
    );
    try {
      const run = await none.imaginary(['up', app]);
      expect(run.code).toBe(1);
      expect(run.stderr).toMatch(/no .*cluster/i);
      expect(run.stderr).toMatch(/next: /);
    } finally {
      await none.dispose();
    }
  });

  test('--json, --foreground: one object, then down at the first interrupt', async () => {
    const other = prepareCluster([{ name: 'x', command: ['true'] }], { name: 'front' });
    try {
      const child = other.follow([
        'up',
        '--foreground',
        '--json',
        '--network',
        'flat',
        join(other.folder, 'manifest.json'),
      ]);
      const [line] = await once(createInterface({ input: child.stdout! }), 'line');
      const booted = JSON.parse(line);
      expect(booted).toMatchObject({
        cluster: 'front',
        pid: child.pid,
        network: { kind: 'flat' },
        hosts: [{ name: 'x' }],
      });
      expect(booted.isolation.missing).toEqual(expect.any(Array));
      expect(JSON.stringify(booted)).not.toMatch(/secret/i);
      child.kill('SIGINT');
      const [code] = await once(child, 'exit');
      expect(code).toBe(0);
      expect(await other.down()).toMatchObject({ code: 0, stdout: expect.stringMatching(/nothing is running/) });
    } finally {
      await other.dispose();
    }
  });
});

test('down: the logs stay, and followers end', async () => {
  const other = await bootCluster([{ name: 'x', command: [python, '-m', 'http.server', '8000'] }]);
  try {
    await other.exec(['curl', '-s', '-o', '/dev/null', 'http://x:8000/']);
    const followers = [other.follow(['events', '--follow']), other.follow(['logs', 'x', '--follow'])];
    const ends = followers.map(async (child) => (await finish(child, 'follower')).code);
    await Promise.all(followers.map((child) => once(child.stdout!, 'data')));
    const down = await other.imaginary(['down', '--json']);
    expect(JSON.parse(down.stdout)).toMatchObject({ cluster: 'test', wasRunning: true });
    expect(await Promise.all(ends)).toEqual([0, 0]);
    expect(await other.logs('x')).toContain('"GET / HTTP/1.1"');
    expect(readFileSync(join(other.state, 'daemon.log'), 'utf8')).toBe('');
  } finally {
    await other.dispose();
  }
});

describe('exec --why', () => {
  const dial = (to: string) => `import socket
try: socket.create_connection(${to}, 5)
except OSError as error: print(error.errno)`;
  const ask = (to: string, ...options: string[]) =>
    cluster.imaginary(['exec', ...options, '--', '/usr/bin/python3', '-c', dial(to)]);

  test('tells of every connect that fails what was said about it', async () => {
    const refused = await ask("('files', 81)", '--why');
    expect(refused.stdout).toBe('111\n');
    expect(refused.stderr).toMatch(/^imaginary: connect to files:81: ECONNREFUSED: .+\n$/);
    const nobodys = await ask("('100.64.200.200', 80)", '--why');
    expect(nobodys.stdout).toBe('113\n');
    expect(nobodys.stderr).toMatch(/^imaginary: connect to 100\.64\.200\.200:80: EHOSTUNREACH: .*100\.64\.200\.200\n$/);
  });
  test('without it a command has standard error to itself', async () => {
    expect(await ask("('files', 81)")).toEqual({ code: 0, stdout: '111\n', stderr: '' });
  });
});

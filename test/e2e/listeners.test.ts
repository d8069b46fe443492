/**
 * Everything that a running cluster listens at on network `flat`, where all of it can be reached by every user of this
 * machine: there is no listener that is not listed here, and each is tried as a stranger.
 */
import { execFile } from 'node:child_process';
import { readdirSync, readFileSync, readlinkSync, statSync } from 'node:fs';
import { dirname } from 'node:path';
import { promisify } from 'node:util';
import type { PlatformInfo } from '../../src/local';
import { bootCluster, type TestCluster } from '../support/cluster';
import { family } from '../support/processes';

const python = '/usr/bin/python3';
const NOBODY = 65_534;
const stranger = process.getuid?.() === 0 ? { uid: NOBODY, gid: NOBODY } : undefined;
const run = promisify(execFile);

interface Listener {
  readonly over: 'tcp' | 'udp' | 'unix';
  /** `address:port`, or a path; `@` begins an abstract one. */
  readonly at: string;
  readonly pid: number;
}

let cluster: TestCluster;
let info: PlatformInfo;
beforeAll(async () => {
  const server = { command: [python, '-u', '-m', 'http.server', '8000'], settleTime: 100 };
  cluster = await bootCluster(
    [
      { name: 'a', ...server },
      { name: 'b', ...server },
    ],
    {
      upArguments: ['--network', 'flat'],
    },
  );
  for (const host of ['a', 'b']) expect((await cluster.exec(['curl', '-sS', `http://${host}:8000/`])).code).toBe(0);
  info = JSON.parse(readFileSync(`${cluster.state}/platform.json`, 'utf8'));
});
afterAll(() => cluster?.dispose());

function inodesOf(pid: number): string[] {
  try {
    return readdirSync(`/proc/${pid}/fd`).flatMap((fd) => {
      const [, inode] = /^socket:\[(\d+)\]$/.exec(readlinkSync(`/proc/${pid}/fd/${fd}`)) ?? [];
      return inode ? [inode] : [];
    });
  } catch {
    return [];
  }
}

const rows = (file: string) =>
  readFileSync(`/proc/net/${file}`, 'utf8')
    .split('\n')
    .slice(1)
    .map((l) => l.trim().split(/\s+/));
const endOf = (hex: string) => {
  const [address, port] = hex.split(':');
  return `${[...Buffer.from(address, 'hex')].reverse().join('.')}:${Number.parseInt(port, 16)}`;
};

function listeners(): Listener[] {
  const owners = new Map(family(info.pid).flatMap((pid) => inodesOf(pid).map((inode) => [inode, pid] as const)));
  const inet = (over: 'tcp' | 'udp', state: string): Listener[] =>
    rows(over).flatMap((row) => {
      const pid = owners.get(row[9]);
      return pid !== undefined && row[3] === state ? [{ over, at: endOf(row[1]), pid }] : [];
    });
  const unix = rows('unix').flatMap((row): Listener[] => {
    const pid = owners.get(row[6]);
    const named = row[3] === '00010000' || row[4] === '0002';
    return pid !== undefined && named && row[7] ? [{ over: 'unix', at: row[7], pid }] : [];
  });
  // IPv6 must not have any: `rows` of tcp6 are looked at for that alone.
  const six = ['tcp6', 'udp6'].flatMap((file) => rows(file).filter((row) => owners.has(row[9])));
  expect(six).toEqual([]);
  return [...inet('tcp', '0A'), ...inet('udp', '07'), ...unix];
}

/** What a stranger gets who connects and says something: the first bytes of the answer, or how it ended. */
async function tryAs(who: { uid: number; gid: number } | undefined, at: string, say: string): Promise<string> {
  const script = [
    'import socket, sys',
    'at, say = sys.argv[1:]',
    'unix = ":" not in at or at[0] == "/"',
    's = socket.socket(socket.AF_UNIX if unix else socket.AF_INET)',
    's.settimeout(8)',
    'try:',
    '  s.connect(at if unix else (at.split(":")[0], int(at.split(":")[1])))',
    '  s.sendall(say.encode())',
    '  print(s.recv(100))',
    'except OSError as e: print(type(e).__name__)',
  ].join('\n');
  return (await run(python, ['-c', script, at, say], { ...who, cwd: '/' })).stdout.trim();
}

const isOfSandbox = (kind: string) => kind === 'shim' || kind === 'membership';

/** Each kind of listener, and what becomes of somebody who is not meant. */
function kindOf({ over, at, pid }: Listener): string {
  const { number } = info.network as { number: number };
  const seed = `127.${number}.0.1:`;
  if (over === 'tcp' && at === info.seed) return 'control';
  if (over === 'tcp' && at.startsWith(seed)) return 'data';
  if (over === 'tcp' && `http://${at}` === info.lambda.url) return 'lambda';
  if (over === 'tcp' && pid === info.pid && at.startsWith('127.0.0.1:')) return 'runtime';
  if (over !== 'unix' && at.startsWith('127.0.53.53:')) return 'resolver';
  if (over === 'tcp' && /:8000$/.test(at) && at.startsWith(`127.${number}.`)) return 'guest';
  if (over === 'unix' && at.startsWith('@imaginary-machines/')) return 'lock';
  if (over === 'unix' && at.endsWith('/shim.sock')) return 'shim';
  if (over === 'unix' && at.endsWith('/node/membership')) return 'membership';
  return `unknown: ${over} ${at} of ${readFileSync(`/proc/${pid}/cmdline`, 'utf8').replaceAll('\0', ' ')}`;
}

test('there are no others', () => {
  const kinds = listeners().map(kindOf);
  expect([...new Set(kinds)].filter((kind) => kind !== 'resolver').sort()).toEqual([
    'control',
    'data',
    'guest',
    'lambda',
    'lock',
    'membership',
    'runtime',
    'shim',
  ]);
  // One for each sandbox, and a guest's port for each host.
  expect(kinds.filter((kind) => kind === 'runtime')).toHaveLength(2);
  expect(kinds.filter((kind) => kind === 'guest')).toHaveLength(2);
});

test('what a stranger gets at each', async () => {
  const http = 'POST /2015-03-31/functions/test-a/invocations HTTP/1.1\r\nhost: x\r\ncontent-length: 2\r\n\r\n{}';
  const next = 'GET /2018-06-01/runtime/invocation/next HTTP/1.1\r\nhost: x\r\n\r\n';
  const expected: Record<string, readonly [say: string, answer: RegExp]> = {
    runtime: [next, /^(b''|ConnectionResetError)$/],
    lambda: [http, /^b'HTTP\/1.1 403 /],
    // A TLS alert, or nothing.
    control: ['GET / HTTP/1.1\r\n\r\n', /^(b''|b'\\x15\\x03.*|ConnectionResetError)$/],
    data: ['GET / HTTP/1.1\r\n\r\n0123456789abcdef0123456789abcdef', /^(b''|ConnectionResetError)$/],
    // As on any network: a host's port is open for who reaches it, and `flat` keeps nobody from it.
    guest: ['GET / HTTP/1.0\r\n\r\n', /^b'HTTP\/1.0 200 /],
    shim: ['x', /^(PermissionError|FileNotFoundError)$/],
    membership: ['', /^(PermissionError|FileNotFoundError)$/],
  };
  for (const listener of listeners()) {
    const kind = kindOf(listener);
    // The shims' sockets and those of membership are where only their sandbox sees them, or in a folder of its user.
    const [say, answer] = expected[kind] ?? [];
    if (say === undefined || listener.over === 'udp' || (!stranger && isOfSandbox(kind))) continue;
    expect([kind, await tryAs(stranger, listener.at, say)]).toEqual([kind, expect.stringMatching(answer!)]);
  }
  expect((await cluster.exec(['curl', '-sS', 'http://a:8000/'])).code).toBe(0);
});

test('the guest of another host gets no invocation of this one, nor does a client', async () => {
  for (const { at } of listeners().filter((listener) => kindOf(listener) === 'runtime')) {
    const script = [
      'import socket, sys, ctypes, struct',
      // By the kernel's own calls: under the shim, 127.0.0.1 is the client's own loopback.
      'libc = ctypes.CDLL(None, use_errno=True)',
      'a, p = sys.argv[1].split(":")',
      'fd = libc.syscall(ctypes.c_long(41), 2, 1, 0)',
      'to = struct.pack("=H", 2) + struct.pack("!H", int(p)) + socket.inet_aton(a) + bytes(8)',
      'if libc.syscall(ctypes.c_long(42), fd, to, 16) != 0: print("refused"); sys.exit()',
      'say = b"GET /2018-06-01/runtime/invocation/next HTTP/1.1\\r\\nhost: x\\r\\n\\r\\n"',
      'libc.syscall(ctypes.c_long(1), fd, say, len(say))',
      'buffer = ctypes.create_string_buffer(100)',
      'print("read", libc.syscall(ctypes.c_long(0), fd, buffer, 100))',
    ].join('\n');
    if (process.arch !== 'x64') continue; // numbers of its system calls
    const { stdout } = await cluster.exec([python, '-c', script, at]);
    expect(stdout).toMatch(/^(refused|read (0|-1))\n$/);
  }
});

test('files that lead to the cluster are for its user alone', () => {
  for (const { over, at } of listeners()) {
    if (over !== 'unix' || !at.startsWith('/tmp/imaginary-')) continue;
    expect([at, statSync(dirname(at)).mode & 0o077]).toEqual([at, 0]);
  }
});

import { execFileSync, spawn } from 'node:child_process';
import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import {
  closeSync,
  existsSync,
  fstatSync,
  lstatSync,
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
import type { NativeAddon, ShimSocket } from '../../src/native/addon';
import { loadNative, NativeAddonError } from '../../src/native/addon/load';

const ARCH = process.arch === 'arm64' ? 'arm64' : 'x86_64';
const ADDON = resolve(__dirname, '../../lambda-layers/supervisor', ARCH, 'imaginary/native.node');

let native: NativeAddon;
let folder: string;
beforeAll(() => {
  native = loadNative();
});
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'imaginary-native-'));
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

const python = (script: string, ...args: string[]) => {
  const child = spawn('/usr/bin/python3', ['-c', script, ...args], { stdio: ['ignore', 'pipe', 'inherit'] });
  let output = '';
  child.stdout.on('data', (text) => (output += text));
  return once(child, 'close').then(() => output);
};
/** Sends `count` requests, each with one end of a socket pair, and prints how many right replies came. */
const CLIENT = `
import array, socket, sys
path, count = sys.argv[1], int(sys.argv[2])
server = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
right = 0
for i in range(count):
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    rights = (socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array('i', [theirs.fileno()]))
    server.sendmsg([b'request %d' % i], [rights], 0, path)
    theirs.close()
    right += ours.recv(100) == b'reply to request %d' % i
    ours.close()
print(right)
`;

describe('openShimSocket', () => {
  let socket: ShimSocket | undefined;
  afterEach(() => {
    socket?.close();
    socket = undefined;
  });
  const path = () => join(folder, 'shim.sock');
  const open = (onMessage: (message: Buffer, descriptors: number[]) => void) => {
    socket = native.openShimSocket(path(), onMessage);
  };

  test('hands over messages with their descriptors, and replies reach who asked', async () => {
    const before = openDescriptors();
    open((message, [fd]) => native.reply(fd, Buffer.from(`reply to ${message}`), []));
    expect(await python(CLIENT, path(), '500')).toBe('500\n');
    socket!.close();
    // Jest and Node.js open and close some of their own meanwhile; a leak would be of hundreds.
    expect(openDescriptors()).toBeLessThan(before + 10);
  });

  test('descriptors do not leak into children, and are the callee’s to close', async () => {
    let flags = '';
    open((_, [fd]) => {
      flags = readFileSync(`/proc/self/fdinfo/${fd}`, 'utf8');
      native.closeDescriptor(fd);
      expect(() => fstatSync(fd)).toThrow('EBADF');
    });
    await python(CLIENT, path(), '1');
    expect(Number.parseInt(/flags:\s*(\d+)/.exec(flags)![1], 8) & 0o2000000).not.toBe(0);
  });

  test('a descriptor can be passed with a reply', async () => {
    writeFileSync(join(folder, 'secret'), 'content');
    const { openSync } = require('node:fs');
    open((_, [fd]) => {
      const passed = openSync(join(folder, 'secret'), 'r');
      native.reply(fd, Buffer.from('file'), [passed]);
      closeSync(passed);
    });
    const script = CLIENT.slice(0, CLIENT.indexOf('right = 0')).concat(`
ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
server.sendmsg([b'x'], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array('i', [theirs.fileno()]))], 0, path)
message, fds, _, _ = socket.recv_fds(ours, 100, 1)
import os
print(message.decode(), os.read(fds[0], 100).decode())
`);
    expect(await python(script, path(), '1')).toBe('file content\n');
  });

  test('is the user’s own: mode 0600, and messages of other users are dropped', async () => {
    const seen: string[] = [];
    open((message, descriptors) => {
      seen.push(message.toString());
      descriptors.forEach(native.closeDescriptor);
    });
    expect(statSync(path()).mode & 0o777).toBe(0o600);
    if (process.getuid!() !== 0) return;
    // Past the file's mode, through a descriptor that a root process connected.
    const script = `
import os, socket, sys
s = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
s.connect(sys.argv[1])
s.send(b'root')
os.setuid(65534)
s.send(b'nobody')
`;
    await python(script, path());
    await python(CLIENT, path(), '1');
    expect(seen).toEqual(['root', 'request 0']);
  });

  test('more messages than are taken wait in their senders, and none is lost', async () => {
    let count = 0;
    open((_, descriptors) => {
      count++;
      descriptors.forEach(native.closeDescriptor);
    });
    const script = `
import socket, sys
s = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
for i in range(5000): s.sendto(b'x', sys.argv[1])
print('sent')
`;
    const sent = python(script, path());
    Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 300); // we take nothing for a while
    expect(await sent).toBe('sent\n');
    for (const deadline = Date.now() + 5_000; count < 5000 && Date.now() < deadline; ) await new Promise(setImmediate);
    expect(count).toBe(5000);
  });

  test('replaces a file, closes twice, and removes its own file only', () => {
    writeFileSync(path(), 'left over');
    open(() => undefined);
    expect(statSync(path()).isSocket()).toBe(true);
    const second = native.openShimSocket(path(), () => undefined);
    socket!.close();
    socket!.close();
    expect(existsSync(path())).toBe(true);
    second.close();
    expect(existsSync(path())).toBe(false);
  });

  test('can be closed by its own callback, with messages still to come', async () => {
    let count = 0;
    open((_, descriptors) => {
      count++;
      descriptors.forEach(native.closeDescriptor);
      socket!.close();
    });
    await python(
      "import socket, sys\ns = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)\ntry:\n  for i in range(50): s.sendto(b'x', sys.argv[1])\nexcept OSError: pass",
      path(),
    );
    expect(count).toBe(1);
  });

  // A socket address holds 107 bytes.
  test.each([100, 106, 107, 108, 109, 150, 400])('at a path of %d bytes, which is taken away again', (length) => {
    const name = '/shim.sock';
    let at = folder;
    while (at.length + name.length < length)
      at += `/${'x'.repeat(Math.min(50, Math.max(1, length - name.length - at.length - 1)))}`;
    mkdirSync(at, { recursive: true });
    const opened = native.openShimSocket(at + name, () => undefined);
    expect(lstatSync(at + name).isSocket()).toBe(true);
    opened.close();
    expect(existsSync(at + name)).toBe(false);
    rmSync(join(folder, 'x'.repeat(50)), { recursive: true, force: true });
    for (const left of readdirSync(folder)) rmSync(join(folder, left), { recursive: true });
  });

  test('errors have a code', () => {
    const failing = (p: string) => {
      try {
        native.openShimSocket(p, () => undefined);
        return undefined;
      } catch (error) {
        return error;
      }
    };
    expect(failing('/no/such/folder/x')).toMatchObject({ code: 'ENOENT', syscall: 'bind', path: '/no/such/folder/x' });
    expect(failing(`/tmp/${'x'.repeat(120)}`)).toMatchObject({ code: 'ENAMETOOLONG' });
    expect(() => native.openShimSocket(join(folder, 'x'), 1 as never)).toThrow('onMessage must be a function');
    expect(readdirSync(folder)).toEqual([]);
  });

  test('a process ends when its socket is closed, is unrefed, or by exit with it open', () => {
    const run = (end: string) =>
      execFileSync(
        process.execPath,
        [
          '-e',
          `const m = { exports: {} }; process.dlopen(m, '${ADDON}'); const s = m.exports.openShimSocket('${path()}', () => {}); ${end}`,
        ],
        { timeout: 5_000 },
      );
    for (const end of ['s.close()', 's.unref()', 'setTimeout(() => process.exit(0), 10)']) run(end);
  });
});

describe('reply', () => {
  test('false when the other side is gone; the descriptor is closed all the same', () => {
    const [read, write] = native.pipe();
    expect(native.reply(write, Buffer.from('x'), [])).toBe(false); // a pipe is no socket
    expect(() => fstatSync(write)).toThrow('EBADF');
    closeSync(read);
  });
});

describe('spawn', () => {
  test('the guest has the descriptors that it was given and no others, also of those that are not CLOEXEC', () => {
    const script = `
      const m = { exports: {} };
      process.dlopen(m, '${ADDON}');
      m.exports.spawn('/bin/ls', ['ls', '/proc/self/fd'], [], '/', 1, 2, (code) => process.exit(code));
      setInterval(() => undefined, 1000);
    `;
    // Node.js marks what it inherits CLOEXEC, up to the first gap above 16.
    const inherit = 'import os, sys; os.dup2(1, 40); os.execv(sys.argv[1], sys.argv[1:])';
    const output = execFileSync('/usr/bin/python3', ['-c', inherit, process.execPath, '-e', script], {
      encoding: 'utf8',
    });
    expect(output).toBe('0\n1\n2\n3\n'); // 3: ls itself
  });
});

describe('mapFile', () => {
  test('is shared with other mappings and with the file', () => {
    const file = join(folder, 'table');
    const first = new Uint8Array(native.mapFile(file, 8192));
    const second = new Uint8Array(native.mapFile(file, 8192));
    expect(first.every((byte) => byte === 0)).toBe(true);
    first[5000] = 7;
    expect(second[5000]).toBe(7);
    expect(readFileSync(file)[5000]).toBe(7);
    expect(statSync(file)).toMatchObject({ size: 8192 });
    expect(statSync(file).mode & 0o777).toBe(0o600);
  });

  test('errors have a code', () => {
    expect(() => native.mapFile(join(folder, 'no', 'x'), 10)).toThrow(expect.objectContaining({ code: 'ENOENT' }));
    expect(() => native.mapFile(folder, 10)).toThrow(expect.objectContaining({ code: 'EISDIR' }));
    expect(() => native.mapFile(join(folder, 'x'), 0)).toThrow('size must be a positive number');
  });

  (process.getuid!() === 0 ? test : test.skip)('a full disk is an error now, not a signal later', () => {
    execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=64k', 'tmpfs', folder]);
    try {
      expect(() => native.mapFile(join(folder, 'x'), 1024 * 1024)).toThrow(expect.objectContaining({ code: 'ENOSPC' }));
    } finally {
      execFileSync('umount', ['-l', folder]);
    }
  });
});

test('an addon that is not there: an error that says where it was looked for', () => {
  jest.isolateModules(() => {
    const fresh = require('../../src/native/addon/load');
    expect(() => fresh.loadNative('/nowhere')).toThrow('/nowhere/native.node');
  });
  expect(new NativeAddonError(['/a'], 'why').message).toContain('/a');
});

const openDescriptors = () => readdirSync('/proc/self/fd').length;

test('sendDatagram: from the very socket, with the source asked for; false when the kernel does not take it', async () => {
  const receiver = createSocket('udp4');
  const sender = createSocket('udp4');
  try {
    await new Promise<void>((done) => receiver.bind(0, '127.0.0.1', done));
    await new Promise<void>((done) => sender.bind(0, done));
    const { fd } = (sender as unknown as { _handle: { fd: number } })._handle;
    const got = new Promise((done) =>
      receiver.on('message', (data, { address, port }) => done([`${data}`, address, port])),
    );
    expect(native.sendDatagram(fd, Buffer.from('held'), 0x7f000001, receiver.address().port, 0x7f000903, 0, 0)).toBe(
      true,
    );
    expect(await got).toEqual(['held', '127.0.9.3', sender.address().port]);
    expect(native.sendDatagram(fd, Buffer.alloc(65_508), 0x7f000001, 9, 0, 0, 0)).toBe(false);
    expect(() => native.sendDatagram(-1, Buffer.alloc(1), 1, 1, 1, 0, 0)).toThrow('descriptor');
  } finally {
    receiver.close();
    sender.close();
  }
});

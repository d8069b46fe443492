/** Remapped files and network interfaces: the regression programs, and ordinary programs. */
import { spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { networkInterfaces } from 'node:os';
import { join } from 'node:path';
import { FILES_MAGIC } from '../../src/contract/abi/shim';
import {
  buildProgram,
  hasAddressSanitizer,
  muslLoader,
  type Peer,
  passed,
  type Result,
  start,
  startPeer,
  type Variant,
} from './harness';

jest.setTimeout(120_000);

const PYTHON = '/usr/bin/python3';
const python = existsSync(PYTHON) ? test : test.skip;
const musl = existsSync(muslLoader);
const variants: Variant[] = [
  'plain',
  'trap',
  ...(musl ? ['musl' as const] : []),
  ...(hasAddressSanitizer ? ['address' as const] : []),
];

let peer: Peer;
let place: string;

function remap(files: Readonly<Record<string, string>>) {
  const texts = [FILES_MAGIC, ...Object.entries(files).flat()];
  writeFileSync(join(peer.folder, 'web', 'files'), texts.map((text) => `${text}\0`).join(''));
}

beforeAll(async () => {
  peer = await startPeer(246, variants);
});
beforeEach(() => {
  place = mkdtempSync(join(peer.folder, 'place-'));
  mkdirSync(join(place, 'sub'));
  writeFileSync(join(place, 'name'), 'imagined\n');
  writeFileSync(join(place, 'sub', 'inner'), '');
  writeFileSync(join(place, 'run'), '#!/bin/sh\nexit 7\n', { mode: 0o755 });
  symlinkSync('name', join(place, 'link'));
  remap({
    '/no/such/place': place,
    '/etc/hostname': join(place, 'name'),
    '/proc/sys/kernel/hostname': join(place, 'name'),
  });
});
afterEach(() => rmSync(place, { recursive: true, force: true }));
afterAll(() => peer?.close());

test.each(variants.filter((v) => v !== 'plain'))('every call that takes a path (%s)', async (variant) => {
  // AddressSanitizer's library must be loaded first, which programs started with an environment of ours do not do.
  const more = variant === 'address' ? ['alone'] : [];
  passed(await (await peer.program('web', 'files', [place, ...more], variant)).ended);
});

test.each(variants.filter((v) => v !== 'plain'))('network interfaces (%s)', async (variant) => {
  passed(await (await peer.program('web', 'interfaces', [], variant)).ended);
});

/** By case: natively, and as a guest. A case that is not there natively has a remapped folder to do with. */
const VISIBLE: Readonly<Record<string, readonly [string | undefined, string]>> = {
  'a remapped folder': ['No such file or directory', 'ok'],
  'is in the listing of its parent': ['no', 'no'],
  'is found by glob': ['no', 'no'],
  'is what getcwd says': [undefined, 'no'],
  'is what /proc/self/fd says': [undefined, 'no'],
  'holds a socket': ['No such file or directory', 'No such file or directory'],
  'is searched for programs': ['No such file or directory', 'No such file or directory'],
  "is led to by a symbolic link of the machine's": ['No such file or directory', 'No such file or directory'],
  'is seen by getpwnam': ['no', 'no'],
  '127.0.0.1 next to the wildcard': ['Address already in use', 'ok'],
  'a datagram by ::1 comes from': ['::1', '::ffff:127.0.0.1'],
  'a UDP port for IPv6 only is reached': ['yes', 'no'],
  'much control data': ['ok', 'No buffer space available'],
};

test('what a guest can tell, as docs/transparency.md says', async () => {
  writeFileSync(join(place, 'passwd'), 'imagined:x:4711:4711::/:/bin/sh\n');
  remap({ '/no/such/place': place, '/etc/imagined': place, '/etc/passwd': join(place, 'passwd') });
  const program = await buildProgram('visible');
  const lines = ({ stdout, stderr, code }: Result) => {
    expect({ stderr, code }).toEqual({ stderr: '', code: 0 });
    return Object.fromEntries(
      stdout
        .trim()
        .split('\n')
        .map((line) => line.split(/: (.*)/)),
    );
  };
  const native = lines(await peer.native([program, place, '127.0.0.1']).ended);
  const guest = lines(await peer.run('web', [program, place, '100.64.1.1']));
  const found = Object.fromEntries(Object.keys(guest).map((name) => [name, [native[name], guest[name]]]));
  // Where this machine has a way out.
  const outside = 'a port at the wildcard, connected outside';
  const objection = native[outside] === 'ok' ? 'Invalid argument' : native[outside];
  expect(found).toEqual({ ...VISIBLE, [outside]: [native[outside], objection] });
});

test('programs find remapped files', async () => {
  const shell = async (script: string) => (await peer.run('web', ['/bin/sh', '-c', script])).stdout;
  expect(await shell('cat /etc/hostname /no/such/place/link')).toBe('imagined\nimagined\n');
  expect(await shell('cat /proc/sys/kernel/hostname < /no/such/place/name')).toBe('imagined\n');
  expect(await shell('cd /no/such/place && ls -1 . /no/such/place/sub && test -x ./run && echo yes')).toBe(
    '.:\nlink\nname\nrun\nsub\n\n/no/such/place/sub:\ninner\nyes\n',
  );
  expect(await shell('/no/such/place/run; echo $?')).toBe('7\n');
  expect(await shell('cp /no/such/place/name /no/such/place/copy && mv /no/such/place/copy /no/such/place/moved')).toBe(
    '',
  );
  expect(existsSync(join(place, 'moved'))).toBe(true);
  expect(await shell('hostname; uname -n')).toBe('web\nweb\n');
});

test('node finds remapped files, and sees one address', async () => {
  const script = `
const fs = require('fs'), place = '/no/such/place';
const own = Object.values(require('os').networkInterfaces()).flat().filter((i) => !i.internal);
(async () => console.log(JSON.stringify({
  read: fs.readFileSync('/etc/hostname', 'utf8'), size: fs.statSync(place + '/name').size, list: fs.readdirSync(place),
  there: fs.existsSync(place + '/sub/inner'), real: fs.realpathSync.native(place + '/link'), walked: fs.realpathSync('/etc/hostname'),
  later: (await fs.promises.stat(place + '/link')).size, link: fs.readlinkSync(place + '/link'),
  hostname: require('os').hostname(), own: own.map((i) => i.cidr) })))();`;
  const { stdout, stderr } = await peer.run('web', [process.execPath, '-e', script]);
  expect(stderr).toBe('');
  expect(JSON.parse(stdout)).toEqual({
    read: 'imagined\n',
    size: 9,
    list: ['link', 'name', 'run', 'sub'],
    there: true,
    real: '/no/such/place/name',
    walked: '/etc/hostname',
    later: 9,
    link: 'name',
    hostname: 'web',
    own: ['100.64.1.1/16'],
  });
});

python('python finds remapped files, and the interfaces by name as natively', async () => {
  const script = `
import json, os, socket, pathlib, shutil
place = pathlib.Path('/no/such/place')
interface = lambda name: socket.if_nametoindex(name) and name
print(json.dumps([(place / 'name').read_text(), sorted(os.listdir(place)), (place / 'link').is_symlink(), os.path.getsize('/etc/hostname'),
  sorted(entry.name for entry in os.scandir(place)), socket.gethostname(), os.uname().nodename,
  [list(row) for row in socket.if_nameindex()]]))`;
  const { stdout, stderr } = await peer.run('web', [PYTHON, '-c', script]);
  expect(stderr).toBe('');
  const native = await start(
    [PYTHON, '-c', 'import json, socket; print(json.dumps(socket.if_nameindex()))'],
    process.env,
  ).ended;
  const all = ['link', 'name', 'run', 'sub'];
  expect(JSON.parse(stdout)).toEqual(['imagined\n', all, true, 9, all, 'web', 'web', JSON.parse(native.stdout)]);
});

test.each([
  ['empty', ''],
  ['cut', FILES_MAGIC],
  ['of another kind', 'imaginary files 9\0/etc/hostname\0/nowhere\0'],
  ['without its last target', `${FILES_MAGIC}\0/etc/hostname\0`],
  ['with what is no path', `${FILES_MAGIC}\0\0\0etc/hostname\0x\0/\0/\0`],
])('a list of remaps that is %s remaps nothing', async (_, content) => {
  writeFileSync(join(peer.folder, 'web', 'files'), content);
  const native = await start(['/bin/cat', '/etc/hostname'], process.env).ended;
  expect(await peer.run('web', ['/bin/cat', '/etc/hostname'])).toEqual(native);
});

test('the longest remap wins, and a list that is too long is cut', async () => {
  const other = join(place, 'sub', 'inner');
  writeFileSync(other, 'inner\n');
  const many = Array.from({ length: 200 }, (_, i) => [`/no/such/${i}`, join(place, 'name')]);
  remap({ '/no/such/place': place, '/no/such/place/name': other, ...Object.fromEntries(many) });
  const read = async (path: string) => (await peer.run('web', ['/bin/cat', path])).stdout;
  expect(await read('/no/such/place/name')).toBe('inner\n');
  expect(await read('/no/such/125')).toBe('imagined\n');
  expect(await read('/no/such/126')).toBe('');
});

const getent = existsSync('/usr/bin/getent') ? test : test.skip;
getent('getent, by name and by address', async () => {
  const ask = async (...args: string[]) => (await peer.run('web', ['/usr/bin/getent', ...args])).stdout;
  expect(await ask('hosts', 'api')).toMatch(/^100\.64\.1\.2 +api\n$/);
  expect(await ask('hosts', '100.64.1.3')).toMatch(/^100\.64\.1\.3 +db\n$/);
  expect(await ask('ahostsv4', 'node-2')).toMatch(/^100\.64\.1\.2 +STREAM api\n/);
});

test('this machine has what these tests look at', () => {
  expect(Object.keys(networkInterfaces())).toContain('lo');
  expect(spawnSync('/bin/cat', ['/etc/hostname']).status).toBe(0);
});

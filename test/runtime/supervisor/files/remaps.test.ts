import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { hostsText, remapped, resolvText, writeRemaps } from '../../../../src/runtime/supervisor/files/remaps';

const web = { name: 'web', address: '100.64.0.2', aliases: ['www'], nodeId: 1 };
const api = { name: 'api', address: '100.64.0.3', aliases: [], nodeId: 2 };
const identity = { cluster: 'shop', self: { ...web, epoch: 1 }, directory: [web, api] };

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'imaginary-remaps-'));
});
afterEach(() => rmSync(folder, { recursive: true }));

const pairs = () => {
  const texts = readFileSync(join(folder, 'files'), 'utf8').split('\0');
  expect([texts.shift(), texts.pop()]).toEqual(['imaginary files 1', '']);
  return Object.fromEntries(texts.flatMap((text, i) => (i % 2 === 0 ? [[text, texts[i + 1]]] : [])));
};

test("the cluster's names come first, then the machine's", () => {
  expect(hostsText(identity, '127.0.0.1 localhost\n')).toBe(
    `# The imaginary cluster shop
100.64.0.2\tweb www web.shop www.shop node-1
100.64.0.3\tapi api.shop node-2
# This machine
127.0.0.1 localhost
`,
  );
});

test('a service has its name, and no node-ID', () => {
  const terms = { members: ['web'], instances: 0, maxConnections: 1, sticky: false };
  const all = { name: 'all', address: '100.64.0.9', aliases: [], nodeId: 3, service: terms };
  expect(hostsText({ ...identity, directory: [web, api, all] }, '')).toContain('100.64.0.9\tall all.shop\n');
});

test('a client is in its own file', () => {
  const self = { name: 'client-1', address: '100.64.255.1', nodeId: 9, epoch: 0 };
  expect(hostsText({ ...identity, self }, '')).toContain('100.64.255.1\tclient-1 client-1.shop node-9\n');
});

test("what a host adds is added, and wins; the machine's file may be missing", () => {
  const [hosts, hostname] = ['hosts', 'hostname'].map((name) => join(folder, name));
  writeRemaps(folder, identity, { '/etc/app': '/var/task/app' }, join(folder, 'none'));
  expect(pairs()).toEqual({
    '/etc/hosts': hosts,
    '/etc/hostname': hostname,
    '/proc/sys/kernel/hostname': hostname,
    '/run/imaginary': join(folder, 'node'),
    '/etc/resolv.conf': join(folder, 'resolv.conf'),
    '/etc/app': '/var/task/app',
  });
  expect(readFileSync(hosts, 'utf8')).toContain('127.0.0.1 localhost\n');
  expect(readFileSync(hostname, 'utf8')).toBe('web\n');
  expect(readFileSync(join(folder, 'resolv.conf'), 'utf8')).toBe('nameserver 127.0.53.53\n');
  const machine = join(folder, 'machine');
  mkdirSync(machine);
  writeFileSync(join(machine, 'hosts'), '10.0.0.1 other\n');
  writeFileSync(join(machine, 'resolv.conf'), 'nameserver 10.0.0.2\n');
  writeRemaps(folder, identity, { '/etc/hosts': '/var/task/hosts' }, machine);
  expect(pairs()['/etc/hosts']).toBe('/var/task/hosts');
  expect(readFileSync(hosts, 'utf8')).toContain('10.0.0.1 other\n');
  expect(readFileSync(join(folder, 'resolv.conf'), 'utf8')).toBe('nameserver 127.0.53.53\n');
});

test("the resolver takes the place of the machine's nameservers; the rest stays", () => {
  const machine = `# by DHCP
search ec2.internal example.com
 nameserver\t10.0.0.2
nameserver fe80::1%eth0
options ndots:2 timeout:1`;
  expect(resolvText(machine)).toBe(`nameserver 127.0.53.53
# by DHCP
search ec2.internal example.com
options ndots:2 timeout:1
`);
});

test('the longest remap of a path is its own', () => {
  const own = { '/a': '/one', '/a/b': '/two', '/a/b/c': '/three' };
  const paths = ['/a', '/a/x', '/a/b', '/a/b/x', '/a/b/c', '/ab', '/', 'a/b'];
  expect(paths.map((path) => remapped(path, own))).toEqual([
    '/one',
    '/one/x',
    '/two',
    '/two/x',
    '/three',
    '/ab',
    '/',
    'a/b',
  ]);
});

/** A name of the cluster is looked up as one of /etc/hosts is natively, with whatever hints. */
import { spawnSync } from 'node:child_process';
import { existsSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { type Peer, start, startPeer } from './harness';

jest.setTimeout(120_000);

const PYTHON = '/usr/bin/python3';
// A mount namespace, to put a hosts file of our own in place for the native run.
const able =
  existsSync(PYTHON) &&
  existsSync('/etc/nsswitch.conf') &&
  spawnSync('unshare', ['-rm', 'mount', '--bind', '/etc/hosts', '/etc/hosts']).status === 0;
const differential = able ? test : test.skip;

let peer: Peer;

beforeAll(async () => {
  peer = await startPeer(248, ['plain']);
});
afterAll(() => peer?.close());

differential('the same results and the same errors', async () => {
  const script = [PYTHON, join(__dirname, 'lookups.py'), 'api', '100.64.1.2'];
  const place = (name: string, text: string) => {
    writeFileSync(join(peer.folder, name), text);
    return `mount --bind ${join(peer.folder, name)} /etc/${name.replace('own-', '')}`;
  };
  const mounts = [
    place('own-hosts', '100.64.1.2 api\n127.0.0.1 localhost\n'),
    // No DNS: what it would add for the name's other family is the machine's.
    place('own-nsswitch.conf', 'hosts: files\n'),
  ];
  const within = ['unshare', '-rm', 'sh', '-c', `${mounts.join(' && ')} && exec "$@"`, 'sh'];
  const native = await start([...within, ...script], process.env).ended;
  expect(native).toMatchObject({ code: 0, stderr: '' });
  const ours = await peer.run('web', script);
  expect(ours).toMatchObject({ code: 0, stderr: '' });
  const expected = JSON.parse(native.stdout);
  const got = JSON.parse(ours.stdout);
  const keys = Object.keys(expected);
  expect(keys.length).toBeGreaterThan(20_000);
  const text = (rows: Record<string, unknown>, key: string) => `${key}: ${JSON.stringify(rows[key])}`;
  const different = keys.filter((key) => text(expected, key) !== text(got, key));
  expect(different.map((key) => text(got, key))).toEqual(different.map((key) => text(expected, key)));
});

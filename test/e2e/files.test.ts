/** What guests find in files, and under which addresses they see themselves, on a whole cluster. */
import { bootCluster, type TestCluster } from '../support/cluster';

const python = '/usr/bin/python3';
const SCRIPT = `#!/bin/sh
cat /etc/hostname /proc/sys/kernel/hostname /srv/www/page.txt
cd /srv/www && cat page.txt
exec ${python} -m http.server 8000 --directory /srv/www
`;

let cluster: TestCluster;
beforeAll(async () => {
  cluster = await bootCluster(
    [
      {
        name: 'files',
        aliases: ['shelf'],
        command: ['/srv/www/start.sh'],
        workingDirectory: '/srv/www',
        remappedFiles: { '/srv/www': '/var/task', '/etc/one.conf': '/var/task/page.txt' },
      },
      { name: 'plain', command: [python, '-m', 'http.server', '8000', '--directory', '/etc'] },
    ],
    { files: { 'page.txt': 'a page\n', 'start.sh': SCRIPT } },
  );
});
afterAll(() => cluster?.dispose());

test('a directory remapped for one host: its program and what it serves come from there', async () => {
  expect((await cluster.exec(['curl', '-sS', 'http://shelf:8000/page.txt'])).stdout).toBe('a page\n');
  const log = await cluster.logs('files');
  expect(log.match(/ files\b/g)?.length).toBeGreaterThanOrEqual(2);
  expect(log.match(/a page/g)).toHaveLength(2);
});

test("/etc/hosts has the cluster's names and the machine's, on hosts and for commands", async () => {
  const { address } = await cluster.host('files');
  const line = `${address}\tfiles shelf files.test shelf.test node-0\n`;
  const own = await cluster.exec(['cat', '/etc/hosts']);
  expect(own.stdout).toContain(line);
  expect(own.stdout).toMatch(/^127\.0\.0\.1\s+localhost/m);
  const served = await cluster.exec(['curl', '-sS', 'http://plain:8000/hosts', 'http://plain:8000/hostname']);
  expect(served.stdout).toContain(line);
  expect(served.stdout).toMatch(/\nplain\n$/);
  // Remapped for another host only.
  expect((await cluster.exec(['cat', '/srv/www/page.txt'])).code).toBe(1);
});

test('getent and hostname', async () => {
  const { address } = await cluster.host('files');
  expect((await cluster.exec(['getent', 'hosts', 'shelf'])).stdout.split(/\s+/)).toEqual([address, 'files', '']);
  expect((await cluster.exec(['getent', 'hosts', address])).stdout.split(/\s+/)).toEqual([address, 'files', '']);
  expect((await cluster.exec(['hostname'], { as: 'plain' })).stdout).toBe('plain\n');
  expect((await cluster.exec(['hostname', '-I'], { as: 'plain' })).stdout.trim()).toBe(
    (await cluster.host('plain')).address,
  );
});

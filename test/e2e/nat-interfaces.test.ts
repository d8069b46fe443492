/**
 * The only address of a sandbox is link-local on network `nat`, as on Lambda. Java, Erlang and Go skip such an address
 * when they look for their own: guests are shown the virtual one in its place, in every language that is installed.
 */
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { bootCluster, type TestCluster } from '../support/cluster';
import { networkOf } from '../support/network';

const files = Object.fromEntries(
  ['shown.sh', 'shown.py', 'Shown.java'].map((name) => [name, readFileSync(join(__dirname, 'guests', name), 'utf8')]),
);
const INSTALLED = [
  ...['getifaddrs', 'SIOCGIFCONF', 'SIOCGIFADDR', 'node'],
  ...(existsSync('/usr/bin/javac') ? ['java'] : []),
  ...(existsSync('/usr/bin/erl') ? ['erlang'] : []),
];

let cluster: TestCluster;
beforeAll(async () => {
  // The host listens when it has shown all, so that it can be waited for.
  const command = ['/bin/sh', '-c', 'sh /var/task/shown.sh; exec /usr/bin/python3 -m http.server 8000'];
  cluster = await bootCluster([{ name: 'web', command }], { files, upArguments: ['--network', 'nat'] });
});
afterAll(() => cluster?.dispose());

/** Only IPv4 addresses, and whatever is link-local. */
function check(output: string, own: RegExp) {
  for (const way of INSTALLED) {
    const line = new RegExp(`^(?:.*\\s)?${way}: (.*)$`, 'm').exec(output);
    const shown = (line?.[1] ?? `nothing by ${way} in: ${output}`).split(' ');
    expect({ way, linkLocal: shown.filter((at) => /^169\.254\.|^fe80|link-local/.test(at)) }).toEqual({
      way,
      linkLocal: [],
    });
    const inet = shown.filter((at) => /^\d+\./.test(at)).sort();
    expect({ way, inet }).toEqual({ way, inet: [expect.stringMatching(own), '127.0.0.1'] });
  }
  if (INSTALLED.includes('java')) expect(output).toMatch(new RegExp(`java own: ${own.source.replace(/^\^/, '')}`, 'm'));
}

test('a guest in a sandbox is shown lo and the virtual address', async () => {
  const connect = 'import socket; socket.create_connection(("web", 8000), 60)';
  expect(await cluster.exec(['/usr/bin/python3', '-c', connect])).toMatchObject({ code: 0, stderr: '' });
  // What is hidden is there.
  expect((await networkOf(cluster.state).faults.where('web')).privateAddress).toMatch(/^169\.254\./);
  const { address } = (await cluster.host('web')) as unknown as { address: string };
  check(await cluster.logs('web'), new RegExp(`^${address.replaceAll('.', '\\.')}$`));
});

test('so is a client', async () => {
  const native = await networkOf(cluster.state).runAsClient(['/usr/bin/python3', join(cluster.folder, 'shown.py')]);
  expect(native.stdout).toMatch(/^SIOCGIFCONF: .*169\.254\./m);
  const run = await cluster.exec(['sh', join(cluster.folder, 'shown.sh')]);
  check(run.stdout, /^100\.64\.255\.\d+$/);
});

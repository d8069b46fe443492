/**
 * A new cluster key for a cluster that runs: what is connected stays, what comes later works, the old key is of no use.
 */
import { readFileSync } from 'node:fs';
import { createInterface } from 'node:readline';
import { joinSecret, parseClusterKeys } from '../../src/contract/control/psk';
import { readPlatform } from '../../src/local';
import { fetchStatus } from '../../src/runtime/control/index';
import { bootCluster, type TestCluster } from '../support/cluster';

/** Answers each line with the same line. */
const ECHO = `require('net').createServer((c) => c.pipe(c)).listen(7000)`;
/** Sends a line when it is given one, says what comes back. */
const CLIENT = `
  const c = require('net').connect(7000, 'echo');
  process.stdin.pipe(c); c.pipe(process.stdout);`;

let cluster: TestCluster;
afterAll(() => cluster?.dispose());

test('rotate under a running guest', async () => {
  const command = ['node', '-e', ECHO];
  cluster = await bootCluster([
    { name: 'echo', command },
    { name: 'other', command },
  ]);
  const info = readPlatform(cluster.state)!;
  const [old] = parseClusterKeys(readFileSync(info.keyFile, 'utf8'));
  const client = cluster.start(['node', '-e', CLIENT]);
  const lines = createInterface({ input: client.stdout! })[Symbol.asyncIterator]();
  const echo = async (text: string) => {
    client.stdin!.write(`${text}\n`);
    return (await lines.next()).value;
  };
  expect(await echo('before')).toBe('before');
  const { epoch } = await cluster.host('echo');

  const rotated = await cluster.imaginary(['rotate', '--overlap', '1', '--json']);
  expect(rotated).toMatchObject({ code: 0, stderr: '' });
  const keys = parseClusterKeys(readFileSync(info.keyFile, 'utf8'));
  expect(keys).toHaveLength(1);
  expect(keys[0]).not.toEqual(old);

  await cluster.waitFor(({ host, event }) => host === 'echo' && event === 'rejoined');
  expect(await echo('after')).toBe('after');
  client.stdin!.end();
  expect(await cluster.host('echo')).toMatchObject({ state: 'running', epoch, allocations: 1 });
  const once = `require('net').connect(7000, 'other').on('connect', function () { console.log('up'); this.destroy(); })`;
  expect(await cluster.exec(['node', '-e', once])).toMatchObject({ code: 0, stdout: 'up\n' });

  const secret = joinSecret(old, info.cluster, 'operator');
  await expect(fetchStatus({ seed: info.seed, identity: 'operator', secret })).rejects.toMatchObject({
    code: 'rejected',
  });
}, 120_000);

/** A real Redis as a host instance, host functions and clients as its peers. */
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { readPlatform } from '../../src/local';
import { finish, type TestCluster } from '../support/cluster';
import { eventually } from '../support/eventually';
import { redisServer } from '../support/guests';
import { Instances, is, joinFromElsewhere, NETWORKS } from '../support/instances';
import { signal } from '../support/processes';

describe.each(NETWORKS)('network %s', (network, more) => {
  let instances: Instances;
  let cluster: TestCluster;
  beforeAll(async () => {
    instances = await Instances.boot(`instance-${network}`, more);
    ({ cluster } = instances);
  });
  afterEach(() => instances?.end());
  afterAll(() => cluster?.dispose());

  const ping = async () => (await cluster.exec(['redis-cli', '-h', 'db', 'PING'])).stdout;

  test('a host function connects to it before it has joined, and waits; others find it at once', async () => {
    const waiting = instances.ask('front', '8000');
    await eventually(async () => (await cluster.host('db')).waiting > 0);
    const db = instances.start('--name', 'db', '--', ...redisServer);
    expect((await waiting).stdout).toBe('+PONG\n');
    expect(await ping()).toBe('PONG\n');
    expect(await cluster.host('db')).toMatchObject({ state: 'running', ports: [6_379] });
    // From behind a symmetric NAT.
    const by = (await cluster.events()).filter(is('db', 'transport-chosen')).map(({ detail }) => detail.by);
    if (network === 'nat') expect(new Set(by)).toEqual(new Set(['relayed']));
    expect((await instances.ask('db', '6380')).stderr).toContain('Connection refused');

    // A second one is refused, on this machine and on another.
    const here = await instances.start('--name', 'db', '--', ...redisServer).result;
    expect(here).toMatchObject({ code: 125, stderr: expect.stringContaining("'db' runs on this machine already") });
    const elsewhere = await instances.start('--name', 'db', '--run-dir', join(cluster.folder, 'other'), '--', 'true')
      .result;
    const { epoch } = await cluster.host('db');
    expect(elsewhere.code).toBe(125);
    expect(elsewhere.stderr).toMatch(
      new RegExp(`'db' has joined already: from [0-9.]+, as epoch ${epoch}; end that one first`),
    );

    // It rejoins after a restart of the seed, as the same epoch, and its guest does not notice.
    signal(instances.processes('seed.js'), 'SIGKILL');
    await cluster.waitFor((e) => e.event === 'joined' && e.host === 'db' && e.detail.epoch === epoch);
    expect(await ping()).toBe('PONG\n');

    // SIGTERM: its guest ends in order, and so does the host.
    db.kill('SIGTERM');
    const { code, stdout } = await db.result;
    expect(code).toBe(0);
    expect(stdout).toContain('Received SIGTERM scheduling shutdown');
    expect(await cluster.host('db')).toMatchObject({ state: 'imagined' });
  });
});

test('bad input: one error each, that names the value and what is allowed', async () => {
  const { cluster } = await Instances.boot('instance-bad', ['--network', 'flat']);
  try {
    const info = readPlatform(cluster.state)!;
    const key = join(cluster.folder, 'wrong');
    writeFileSync(key, 'another key that is long enough\n', { mode: 0o600 });
    const join_ = async (...args: string[]) => {
      const { code, stderr } = await finish(cluster.follow(['join', ...args]), 'join');
      return `${code} ${stderr.split('\n')[0]}`;
    };
    expect(await join_('--name', 'nobody', '--', 'true')).toBe(
      "2 imaginary: the cluster 'instance-bad' has no host 'nobody'",
    );
    expect(await join_('--name', 'front', '--', 'true')).toMatch(
      /^2 imaginary: 'front' is a host function, which the seed starts/,
    );
    expect(await join_('--name', 'db', '--key', 'x', '--', 'true')).toBe('2 imaginary: --key is given without --seed');
    const elsewhere = async (...args: string[]) => {
      const { code, stderr } = await joinFromElsewhere(['--seed', info.seed, '--name', 'db', ...args, '--', 'true']);
      return `${code} ${stderr.split('\n')[0]}`;
    };
    expect(await elsewhere()).toBe('2 imaginary: --key is missing, and IMAGINARY_KEY is not set');
    expect(await elsewhere('--key', key)).toMatch(/^125 imaginary: the seed at \S+ did not accept the key of 'client'/);
    expect(await elsewhere('--key', '/nowhere')).toMatch(/^125 imaginary: --key is '\/nowhere': ENOENT/);
    expect(await elsewhere('--key', 'env:NOTHING')).toBe(
      "125 imaginary: --key is 'env:NOTHING': the variable NOTHING is not set",
    );
    expect(await elsewhere('--key', 'arn:aws:s3:::bucket')).toMatch(
      /^2 imaginary: --key is 'arn:aws:s3:::bucket', which is no ARN of a secret/,
    );
    expect(await elsewhere('--key', info.keyFile, '--name', 'nobody')).toBe(
      "125 imaginary: there is no host 'nobody' in the cluster",
    );
    expect(await elsewhere('--key', info.keyFile, '--name', 'front')).toMatch(
      /^125 imaginary: 'front' is a function host/,
    );
  } finally {
    await cluster.dispose();
  }
});

/** The seed as a process: flags, key, log lines, signals, death. */
import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { closeSync, openSync, writeFileSync } from 'node:fs';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { hostIdentity, joinSecret, keyId, parseClusterKeys } from '../../../src/contract/control/psk';
import { openSession, reloadKeys } from '../../../src/runtime/control/index';
import type { LambdaApi } from './allocator/lambda-api';
import { freePort, KEY, type SeedProcesses, seedProcesses } from './processes';

let seeds: SeedProcesses;
let folder: string;
let script: string;
let lambda: LambdaApi;
const run: SeedProcesses['run'] = (...given) => seeds.run(...given);
const flags: SeedProcesses['flags'] = (...given) => seeds.flags(...given);
const clientOf = (seed: string) => seeds.client(seed);

beforeAll(async () => {
  seeds = await seedProcesses();
  ({ folder, script, lambda } = seeds);
}, 30_000);
afterEach(() => seeds.kill());
afterAll(() => seeds.close());

test('--help', async () => {
  const { stdout, status } = spawnSync(process.execPath, [script, '--help'], { encoding: 'utf8' });
  expect(status).toBe(0);
  expect(stdout).toContain('--lambda-endpoint URL');
  expect(Math.max(...stdout.split('\n').map((line) => line.length))).toBeLessThanOrEqual(120);
});

test.each<[string, string[], string]>([
  ['no manifest', [], '--manifest is missing'],
  ['no address', ['--manifest', 'x'], '--address is missing'],
  [
    'a name as address',
    ['--manifest', 'x', '--address', 'seed:1'],
    "--address is 'seed:1'; allowed: an IPv4 address and a port",
  ],
  ['no key', ['--manifest', 'x', '--address', '1.2.3.4:5'], 'the cluster key is missing'],
  ['two keys', ['--manifest', 'x', '--address', '1.2.3.4:5', '--key-file', 'a', '--key-secret', 'b'], 'are both given'],
  ['an unknown flag', ['--manfest', 'x'], "'--manfest'"],
  ['a word', ['start'], "'start'"],
  [
    'an endpoint',
    ['--manifest', 'x', '--address', '1.2.3.4:5', '--key-file', 'a', '--lambda-endpoint', 'x'],
    "--lambda-endpoint is 'x'",
  ],
  [
    'a grace time',
    ['--manifest', 'x', '--address', '1.2.3.4:5', '--key-file', 'a', '--grace', '2s'],
    "--grace is '2s'",
  ],
  [
    'a network number',
    ['--manifest', 'x', '--address', '1.2.3.4:5', '--key-file', 'a', '--flat', '255'],
    "--flat is '255'",
  ],
  [
    'a standby without a table',
    [...['--manifest', 'x', '--address', '1.2.3.4:5', '--key-file', 'a'], '--standby', '1.2.3.4:6'],
    '--standby is given without --lease-table',
  ],
  [
    'an address of a standby',
    [
      ...['--manifest', 'x', '--address', '1.2.3.4:5', '--key-file', 'a'],
      ...['--standby', 'seed', '--lease-table', 't'],
    ],
    "--standby is 'seed'; allowed: an IPv4 address and a port",
  ],
  [
    'a table without a standby',
    [...['--manifest', 'x', '--address', '1.2.3.4:5', '--key-file', 'a'], '--lease-table', 't'],
    '--lease-table is given without --standby',
  ],
  [
    'a second seed without a standby',
    [...['--manifest', 'x', '--address', '1.2.3.4:5', '--key-file', 'a'], '--second'],
    '--second is given without --standby',
  ],
  [
    'a time of a lease without a standby',
    [...['--manifest', 'x', '--address', '1.2.3.4:5', '--key-file', 'a'], '--lease-time', '5000'],
    '--lease-time is given without --standby',
  ],
  [
    'an endpoint of a table without a standby',
    [...['--manifest', 'x', '--address', '1.2.3.4:5', '--key-file', 'a'], '--dynamodb-endpoint', 'http://x'],
    '--dynamodb-endpoint is given without --standby',
  ],
  [
    'a short time of a lease',
    [
      ...['--manifest', 'x', '--address', '1.2.3.4:5', '--key-file', 'a'],
      ...['--standby', '1.2.3.4:6', '--lease-table', 't', '--lease-time', '999'],
    ],
    "--lease-time is '999'; allowed: a whole number of milliseconds from 1000 to 60000",
  ],
  [
    'a long time of a lease',
    [
      ...['--manifest', 'x', '--address', '1.2.3.4:5', '--key-file', 'a'],
      ...['--standby', '1.2.3.4:6', '--lease-table', 't', '--lease-time', '60001'],
    ],
    "--lease-time is '60001'",
  ],
  [
    'no number as time of a lease',
    [
      ...['--manifest', 'x', '--address', '1.2.3.4:5', '--key-file', 'a'],
      ...['--standby', '1.2.3.4:6', '--lease-table', 't', '--lease-time', '5s'],
    ],
    "--lease-time is '5s'",
  ],
  [
    'an endpoint of a table',
    [
      ...['--manifest', 'x', '--address', '1.2.3.4:5', '--key-file', 'a'],
      ...['--standby', '1.2.3.4:6', '--lease-table', 't', '--dynamodb-endpoint', 'x'],
    ],
    "--dynamodb-endpoint is 'x'",
  ],
  ['no region', ['--manifest', 'x', '--address', '1.2.3.4:5', '--key-file', 'a'], '--region is missing'],
  [
    'no such manifest',
    ['--manifest', '/nowhere', '--address', '1.2.3.4:5', '--key-file', 'a', '--region', 'r'],
    "--manifest is '/nowhere': ENOENT",
  ],
])('%s: one line names the flag and its value', async (_what, args, message) => {
  const { ended, stderr } = run(args);
  expect(await ended).toBe(2);
  expect(stderr()).toContain(message);
  expect(stderr()).toMatch(/^seed: .*\nTry 'seed.js --help'.\n$/);
});

test('bad files are named: manifest, key', async () => {
  const bad = join(folder, 'bad.json');
  writeFileSync(bad, '{"version":1,"cluster":{"name":"x"},"hosts":[{"name":"API"}]}');
  const one = run(['--manifest', bad, '--address', '1.2.3.4:5', '--key-file', join(folder, 'key'), '--region', 'r']);
  expect(await one.ended).toBe(2);
  expect(one.stderr()).toContain(
    `--manifest is '${bad}': the manifest is not valid:\n  hosts.0.name: is "API"; allowed`,
  );
  writeFileSync(join(folder, 'short'), 'short');
  const two = run([...flags(1), '--key-file', join(folder, 'short')]);
  expect(await two.ended).toBe(2);
  expect(two.stderr()).toContain("short': the cluster key has 5 characters; allowed: 16 or more");
});

test('a port that is taken is named', async () => {
  const server: Server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  const { ended, stderr } = run(flags(port));
  expect(await ended).toBe(2);
  expect(stderr()).toContain(`--listen is '127.0.0.1:${port}': listen EADDRINUSE`);
  const other = run([...flags(0), '--data-listen', `127.0.0.1:${port}`]);
  expect(await other.ended).toBe(2);
  expect(other.stderr()).toContain(`--data-listen is '127.0.0.1:${port}': EADDRINUSE: Address already in use, bind`);
  server.close();
});

test('the key may come from Secrets Manager', async () => {
  const asked: string[] = [];
  const seconds = (age: number) => (Date.now() - age) / 1_000;
  /** As it is, changed below. */
  const secret: { AWSCURRENT: object; AWSPREVIOUS?: object } = {
    AWSCURRENT: { SecretString: KEY, CreatedDate: seconds(0) },
  };
  const secrets = createServer(async (request, response) => {
    let body = '';
    for await (const chunk of request) body += chunk;
    asked.push(`${request.headers['x-amz-target']} ${body}`);
    response.setHeader('content-type', 'application/x-amz-json-1.1');
    const { VersionStage } = JSON.parse(body);
    const found = secret[VersionStage as keyof typeof secret];
    if (found === undefined) response.statusCode = 400;
    response.end(JSON.stringify(found ?? { __type: 'ResourceNotFoundException', message: 'no such version' }));
  }).listen(0, '127.0.0.1');
  await once(secrets, 'listening');
  const port = await freePort();
  const arn = 'arn:aws:secretsmanager:us-east-1:123456789012:secret:key';
  const args = flags(port, '--grace', '0').map((arg) => (arg === '--key-file' ? '--key-secret' : arg));
  args[args.indexOf('--key-secret') + 1] = arn;
  const seed = run(args, {
    AWS_ENDPOINT_URL_SECRETS_MANAGER: `http://127.0.0.1:${(secrets.address() as AddressInfo).port}`,
    AWS_ACCESS_KEY_ID: 'x',
    AWS_SECRET_ACCESS_KEY: 'x',
  });
  await seed.line('seed-started');
  expect(asked).toEqual(
    ['AWSCURRENT', 'AWSPREVIOUS'].map(
      (stage) => `secretsmanager.GetSecretValue {"SecretId":"${arn}","VersionStage":"${stage}"}`,
    ),
  );
  const client = await clientOf(`127.0.0.1:${port}`);
  client.close();

  // A new value: the one before it is accepted as well, for an hour.
  const [newest] = parseClusterKeys('another cluster key for tests');
  const operator = () => ({
    seed: `127.0.0.1:${port}`,
    identity: 'operator',
    secret: joinSecret(newest, 'test', 'operator'),
  });
  secret.AWSPREVIOUS = secret.AWSCURRENT;
  secret.AWSCURRENT = { SecretString: newest.toString(), CreatedDate: seconds(0) };
  seed.child.kill('SIGHUP');
  const ids = [keyId(newest), keyId(parseClusterKeys(KEY)[0])];
  expect(await seed.line('keys-changed')).toMatchObject({ newest: ids[0], accepted: ids.join(' ') });
  expect(await reloadKeys(operator())).toEqual(ids);
  secret.AWSCURRENT = { SecretString: newest.toString(), CreatedDate: seconds(3_700_000) };
  expect(await reloadKeys(operator())).toEqual([ids[0]]);
  secrets.close();
});

test('a full disk under its log costs lines, not the seed', async () => {
  const port = await freePort();
  const full = openSync('/dev/full', 'w');
  const child = spawn(process.execPath, [script, ...flags(port, '--grace', '0')], { stdio: ['ignore', full, 'pipe'] });
  seeds.adopt(child);
  closeSync(full);
  // It joins only what listens; its first lines have failed by then.
  const client = await clientOf(`127.0.0.1:${port}`);
  await expect(client.locate('nobody', 1)).rejects.toMatchObject({ errno: 'EHOSTUNREACH' });
  expect(child.exitCode).toBeNull();
  client.close();
});

test('killed and started again: hosts and clients find the new one; SIGTERM leaves hosts running; SIGINT stops them', async () => {
  const port = await freePort();
  const address = `127.0.0.1:${port}`;
  const stops: string[] = [];
  lambda.functions.set('test-api', async ({ host, epoch, seed, secret }) => {
    const ports = [{ port: 80, realPort: 40_080, scope: 'any' as const }];
    await new Promise<void>((stopped, fail) => {
      const opening = openSession({
        ...{ seed, secret, identity: hostIdentity(host, epoch), signal: seeds.closing },
        join: () => ({ host, epoch, ports }),
        onLocation: () => undefined,
        onRelease: (reason) => {
          stops.push(reason);
          void opening.then((session) => session.leave({ outcome: 'released' })).then(stopped);
        },
        onStop: (reason) => fail(new Error(reason)),
      });
      opening.catch(fail);
    });
    return { host, epoch, outcome: 'released' };
  });
  const first = run(flags(port, '--grace', '0'));
  await first.line('seed-started');
  const client = await clientOf(address);
  const { epoch } = (await client.locate('api', 80)).location;
  const gone = client.locate('api', 81).catch((error) => error);
  first.child.kill('SIGKILL');
  await first.ended;

  const second = run(flags(port));
  await second.line('joined');
  expect((await client.locate('api', 80)).location.epoch).toBe(epoch);
  second.child.kill('SIGTERM');
  expect(await second.ended).toBe(0);
  expect(stops).toEqual([]);

  const third = run(flags(port));
  await third.line('joined');
  expect((await client.locate('api', 80)).location.epoch).toBe(epoch);
  third.child.kill('SIGINT');
  expect(await third.ended).toBe(0);
  expect(stops).toEqual(['released by an operator']);
  expect(await gone).toMatchObject({ errno: 'ENETUNREACH' });
  expect(lambda.requests).toHaveLength(1);
  for (const { lines } of [first, second, third]) {
    for (const line of lines) expect(line).toMatchObject({ time: expect.any(String), level: expect.any(String) });
  }
  expect([first, second, third].map((p) => p.stderr())).toEqual(['', '', '']);
}, 20_000);

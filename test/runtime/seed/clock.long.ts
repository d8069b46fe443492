/** The clocks of seeds' machines are set back or forward by hours, while they serve: real processes. */
import { writeFileSync } from 'node:fs';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join, resolve } from 'node:path';
import { deriveSecret, hostIdentity, parseClusterKeys } from '../../../src/contract/control/psk';
import type { Invocation, InvocationResult } from '../../../src/contract/platform/invocation';
import { fetchStatus, openSession } from '../../../src/runtime/control/index';
import { lambdaInvoker } from '../../../src/runtime/seed/allocator/lambda';
import { eventually } from '../../support/eventually';
import { type FaultyTable, faultyTable } from './lease/faulty-table';
import { freePort, KEY, type Process, type SeedProcesses, seedProcesses } from './processes';

const JUMPS = [5, -5].map((hours) => [hours, hours * 3_600_000] as const);

let seeds: SeedProcesses;
let invocations: Invocation[];
/** A supervisor that was invoked joins, and listens, once this resolves. */
let mayJoin: Promise<void>;
/** The host that runs leaves, and its invocation returns. */
let leave: () => Promise<void>;
/** Its invocation returns. */
let end: () => void = () => undefined;

beforeAll(async () => {
  seeds = await seedProcesses();
}, 30_000);
beforeEach(() => {
  invocations = [];
  mayJoin = Promise.resolve();
  seeds.lambda.functions.set('test-api', supervise);
});
afterEach(() => {
  seeds.kill();
  end();
});
afterAll(() => seeds.close());

async function supervise(invocation: Invocation): Promise<InvocationResult> {
  invocations.push(invocation);
  const { host, epoch, seed, standby, secret } = invocation;
  await mayJoin;
  const ports = [{ port: 80, realPort: 40_080, scope: 'any' as const }];
  const closing = new AbortController();
  const opened = openSession({
    seed,
    standby: standby === undefined ? undefined : { seed: standby },
    identity: hostIdentity(host, epoch),
    secret,
    join: () => ({ host, epoch, ports }),
    onLocation: () => undefined,
    onStop: () => undefined,
    signal: closing.signal,
  });
  await new Promise<void>((resolve) => {
    end = () => {
      closing.abort();
      resolve();
    };
    leave = async () => {
      await (await opened).leave({ outcome: 'released' });
      resolve();
    };
    opened.then((session) => session.ports(ports, true), resolve);
  });
  return { host, epoch, outcome: 'released' };
}

/** A seed whose clock can be set. */
function start(name: string, port: number, ...more: string[]): Process & { set(by: number): void } {
  const file = join(seeds.folder, `clock-${name}`);
  writeFileSync(file, '0');
  const { AWS_ACCESS_KEY_ID = '', AWS_SECRET_ACCESS_KEY = '' } = process.env;
  const seed = seeds.run(seeds.flags(port, '--grace', '0', ...more), {
    AWS_ACCESS_KEY_ID,
    AWS_SECRET_ACCESS_KEY,
    NODE_OPTIONS: `--require ${resolve(__dirname, '../../support/clock-jump.cjs')}`,
    IMAGINARY_TEST_CLOCK: file,
  });
  return Object.assign(seed, { set: (by: number) => writeFileSync(file, String(by)) });
}

const hostOf = async (seed: string) => {
  const secret = deriveSecret(parseClusterKeys(KEY)[0], 'test', 'operator');
  return (await fetchStatus({ seed, identity: 'operator', secret })).hosts[0];
};
const apart = (a: number, b: number) => Math.abs(a - b);

test.each(JUMPS)(
  'set by %s h while a connect waits: it is answered, and nothing starts twice',
  async (_, by) => {
    const port = await freePort();
    const seed = start('alone', port);
    await seed.line('seed-started');
    const address = `127.0.0.1:${port}`;
    const client = await seeds.client(address);
    let join: () => void = () => undefined;
    mayJoin = new Promise((resolve) => {
      join = resolve;
    });
    const locate = client.locate('api', 80);
    await eventually(() => invocations.length === 1);
    seed.set(by);
    expect(await hostOf(address)).toMatchObject({ state: 'allocating', waiting: 1 });
    join();
    const first = await locate;
    expect(invocations).toHaveLength(1);
    // By the clock as it is now: else `ps` would show hours.
    expect(apart((await hostOf(address)).since, Date.now() + by)).toBeLessThan(20_000);
    // The log has the time of day.
    expect(apart(Date.parse(String((await seed.line('connected')).time)), Date.now() + by)).toBeLessThan(20_000);

    await leave();
    await seed.line('released');
    const second = await client.locate('api', 80);
    expect(second.location.epoch).toBeGreaterThan(first.location.epoch);
    expect(invocations).toHaveLength(2);
    client.close();
  },
  30_000,
);

test.each(JUMPS)(
  'set by %s h, and the seed is started again: its host is adopted, and its next epoch is newer',
  async (_, by) => {
    const port = await freePort();
    const address = `127.0.0.1:${port}`;
    const before = start('before', port);
    await before.line('seed-started');
    const client = await seeds.client(address);
    const first = await client.locate('api', 80);
    before.child.kill('SIGKILL');
    await before.ended;
    const after = start('after', port, '--grace', '2000');
    after.set(by);
    await after.line('seed-started');
    const again = await client.locate('api', 80);
    expect(again.location.epoch).toBe(first.location.epoch);
    expect(invocations).toHaveLength(1);
    await leave();
    await after.line('released');
    const next = await client.locate('api', 80);
    expect(next.location.epoch).toBeGreaterThan(first.location.epoch);
    expect(invocations).toHaveLength(2);
    client.close();
  },
  30_000,
);

describe('two seeds', () => {
  let table: FaultyTable;
  beforeEach(async () => {
    table = await faultyTable();
  });
  afterEach(() => table.close());

  test.each(JUMPS.flatMap(([hours, by]) => [[hours, 'serves', by] as const, [hours, 'waits', by] as const]))(
    'set by %s h at the one that %s: no takeover; the one after it gives newer epochs',
    async (_, which, by) => {
      const [a, b] = [await freePort(), await freePort()];
      const lease = (other: number) => [
        ...['--standby', `127.0.0.1:${other}`, '--lease-table', 'leases', '--dynamodb-endpoint', table.endpoint],
        ...['--lease-time', '2000'],
      ];
      const serves = start('serves', a, ...lease(b));
      await serves.line('seed-started');
      const waits = start('waits', b, ...lease(a));
      await waits.line('standing by');
      let renewals = 0;
      table.faults((what) => {
        renewals += what === 'PutItem' ? 1 : 0;
        return undefined;
      });
      (which === 'serves' ? serves : waits).set(by);
      const client = await seeds.client(`127.0.0.1:${a}`, `127.0.0.1:${b}`);
      const first = await client.locate('api', 80);
      // Twice as long as a lease.
      const until = renewals + 10;
      await eventually(() => renewals >= until, 15_000);
      expect(serves.child.exitCode).toBeNull();
      // The table refuses its signature, once: it is of another time.
      expect(waits.lines.map(({ message }) => message)).not.toContain('seed-started');

      serves.child.kill('SIGKILL');
      await waits.line('seed-started');
      expect((await client.locate('api', 80)).location.epoch).toBe(first.location.epoch);
      expect(invocations).toHaveLength(1);
      await leave();
      await waits.line('released');
      expect((await client.locate('api', 80)).location.epoch).toBeGreaterThan(first.location.epoch);
      client.close();
    },
    60_000,
  );
});

describe('a platform that refuses signatures of another time', () => {
  let server: Server;
  afterEach(() => server.close());

  test.each(JUMPS)('its clock is %s h off: the request is repeated with its time', async (_, by) => {
    const offsets: number[] = [];
    server = createServer((request, response) => {
      const now = Date.now() + by;
      const [, day, time] = /^(\d{8})T(\d{6})Z$/.exec(String(request.headers['x-amz-date']))!;
      const iso = `${day.replace(/(\d{4})(\d\d)(\d\d)/, '$1-$2-$3')}T${time.replace(/(\d\d)(\d\d)(\d\d)/, '$1:$2:$3')}Z`;
      offsets.push(apart(Date.parse(iso), now));
      const bad = offsets.at(-1)! > 300_000;
      response.writeHead(bad ? 403 : 200, {
        date: new Date(now).toUTCString(),
        'content-type': 'application/json',
        ...(bad && { 'x-amzn-errortype': 'InvalidSignatureException' }),
      });
      request.resume().on('end', () => response.end(JSON.stringify(bad ? { message: 'Signature expired' } : result)));
    });
    const result: InvocationResult = { host: 'api', epoch: 5, outcome: 'released' };
    await new Promise<void>((listening) => server.listen(0, '127.0.0.1', listening));
    const endpoint = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
    const invoke = await lambdaInvoker({ region: 'us-east-1', endpoint });
    const invocation: Invocation = {
      ...{ version: 1, cluster: 'test', host: 'api', epoch: 5, action: 'run', seed: '127.0.0.1:1', secret: 'x' },
    };
    const { signal } = new AbortController();
    // What a lifeline repeats.
    expect(await invoke('test-api', invocation, signal)).toMatchObject({ kind: 'throttled' });
    expect(await invoke('test-api', invocation, signal)).toEqual({ kind: 'result', result });
    expect(offsets[1]).toBeLessThan(5_000);
  });
});

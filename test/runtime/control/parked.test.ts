/**
 * The connection of a suspended host to the seed is kept while the host stands still, and its supervisor joins over it
 * again. Between the two is a network that can forget it, or be slow.
 */
import { once } from 'node:events';
import { type AddressInfo, connect, createServer, type Socket } from 'node:net';
import { setTimeout as pause } from 'node:timers/promises';
import { hostIdentity } from '../../../src/contract/control/psk';
import type { Invocation, InvocationResult } from '../../../src/contract/platform/invocation';
import { ControlError, openSession, orderHost, type Parked, type Session } from '../../../src/runtime/control/index';
import { Parked as ParkedAtSeed } from '../../../src/runtime/seed/members/parked';
import { eventually } from '../../support/eventually';
import { bootCluster, CLUSTER_KEY, type Cluster, mapping } from '../seed/cluster';

/** A network in front of a server. */
interface Path {
  readonly address: string;
  /** Connections that there have been. */
  readonly made: () => number;
  readonly open: () => number;
  /** Bytes that have come through, both ways. */
  readonly carried: () => number;
  /** Nothing comes through on the connections that there are: what they carry is lost. */
  forget(): void;
  /** What comes through takes so long, in milliseconds. */
  slow(delay: number): void;
  close(): void;
}

async function pathTo(server: () => string): Promise<Path> {
  const links = new Set<{ lost: boolean; readonly ends: readonly Socket[] }>();
  let made = 0;
  let carried = 0;
  let delay = 0;
  const listener = createServer({ allowHalfOpen: true }, (near) => {
    const [host, port] = server().split(':');
    const far = connect({ host, port: Number(port), allowHalfOpen: true });
    const link = { lost: false, ends: [near, far] };
    links.add(link);
    made += 1;
    for (const [from, to] of [
      [near, far],
      [far, near],
    ]) {
      const later = (act: () => void) => (delay > 0 ? setTimeout(act, delay) : act());
      from.setNoDelay(true);
      from.on('data', (bytes) => {
        if (link.lost) return;
        carried += bytes.length;
        later(() => to.write(bytes));
      });
      from.on('end', () => (link.lost ? from.destroy() : later(() => to.end())));
      from.on('error', () => link.lost || later(() => to.resetAndDestroy()));
      from.on('close', () => {
        if (!link.lost) to.destroySoon();
        if (link.ends.every((one) => one.destroyed)) links.delete(link);
      });
    }
  });
  listener.listen(0, '127.0.0.1');
  await once(listener, 'listening');
  return {
    address: `127.0.0.1:${(listener.address() as AddressInfo).port}`,
    made: () => made,
    open: () => links.size,
    carried: () => carried,
    forget: () => {
      for (const link of links) link.lost = true;
    },
    slow: (by) => {
      delay = by;
    },
    close: () => {
      listener.close();
      for (const { ends } of links) for (const end of ends) end.destroy();
    },
  };
}

let cluster: Cluster;
let path: Path;
/** Of the sandbox. */
let parked: Parked | undefined;
let sessions: Session[];
/** How the last join came about. */
let wasParked: boolean | undefined;
/** Ends the invocation that is open. */
let end: (result: InvocationResult) => void;
let invocations: Invocation[];
let welcomed: () => void;
let life = 'one';
let keys: Buffer[];

async function boot(heartbeat?: number): Promise<void> {
  keys = [CLUSTER_KEY];
  cluster = await bootCluster([{ name: 'api', releaseTimeout: 600_000 }], { heartbeat, keys: async () => keys });
  path = await pathTo(() => cluster.seed.address);
  [parked, sessions, invocations, life] = [undefined, [], [], 'one'];
  cluster.host('api', async (invocation) => {
    invocations.push(invocation);
    if (invocation.action === 'release') return { host: 'api', epoch: invocation.epoch, outcome: 'released' };
    const returned = new Promise<InvocationResult>((resolve) => {
      end = resolve;
    });
    await join(invocation).catch((error) => {
      if (!(error instanceof ControlError)) throw error;
      end({ host: 'api', epoch: invocation.epoch, outcome: 'fenced', reason: error.message });
    });
    welcomed?.();
    return returned;
  });
}

afterEach(async () => {
  for (const session of sessions) session.close();
  parked?.close();
  path.close();
  await cluster.close();
});

async function join({ host, epoch, secret }: Pick<Invocation, 'host' | 'epoch' | 'secret'>): Promise<void> {
  const session = await openSession({
    seed: path.address,
    identity: hostIdentity(host, epoch),
    secret,
    join: () => ({ host, epoch, life, ports: [mapping(80)] }),
    onWelcome: (_welcome, how) => {
      wasParked = how.parked;
    },
    onLocation: () => undefined,
    onStop: () => undefined,
    parked,
  });
  parked = undefined;
  sessions.push(session);
}

/** The host runs, for a client that connects to it. */
async function up(by?: Pick<Session, 'locate'>): Promise<void> {
  const joins = new Promise<void>((resolve) => {
    welcomed = resolve;
  });
  const client = by ?? (await cluster.client());
  await Promise.all([client.locate('api', 80), joins]);
}

/** Suspends it as a supervisor does. */
async function sleep(outcome: 'suspended' | 'renew' = 'suspended'): Promise<void> {
  const { epoch } = invocations.at(-1)!;
  const session = sessions.at(-1)!;
  if (outcome === 'suspended') expect(await session.suspend()).toEqual({ ok: true, reason: undefined });
  parked = await session.park({ outcome });
  end({ host: 'api', epoch, outcome });
  if (outcome === 'suspended') await eventually(() => count('suspended') === count('resumed') + 1);
}

const names = () => cluster.events.filter(({ host }) => host === 'api').map(({ event }) => event);
const count = (event: string) => names().filter((name) => name === event).length;

test('a resumed host joins over the connection that it had', async () => {
  await boot();
  await up();
  expect([path.made(), wasParked]).toEqual([1, false]);
  for (const round of [1, 2]) {
    await sleep();
    expect(parked).toBeDefined();
    await up();
    expect([path.made(), path.open(), wasParked, count('resumed')]).toEqual([1, 1, true, round]);
  }
  expect([count('allocating'), count('rejoined'), count('disconnected')]).toEqual([1, 0, 0]);
});

test('so does one that is renewed', async () => {
  await boot();
  await up();
  const joins = new Promise<void>((resolve) => {
    welcomed = resolve;
  });
  await sleep('renew');
  await joins;
  expect([path.made(), wasParked, count('renewing'), count('rejoined')]).toEqual([1, true, 1, 1]);
});

test('while it stands still neither side sends anything, and neither gives it up', async () => {
  const heartbeat = 20;
  await boot(heartbeat);
  await up();
  await sleep();
  const before = path.carried();
  // A member that is not parked has got twenty of them meanwhile.
  const other = await pathTo(() => cluster.seed.address);
  const client = await cluster.client({ seed: other.address });
  const started = other.carried();
  await eventually(() => other.carried() - started >= 20 * 20);
  expect(path.carried()).toBe(before);
  await up();
  expect([path.made(), wasParked]).toEqual([1, true]);
  client.close();
  other.close();
});

test('where the network has forgotten it, another one is made soon', async () => {
  await boot();
  await up();
  await sleep();
  path.forget();
  const began = performance.now();
  await up();
  expect(performance.now() - began).toBeLessThan(2_000);
  expect([path.made(), wasParked, count('resumed'), count('allocating')]).toEqual([2, false, 1, 1]);
  // The seed has closed the dead one.
  await eventually(() => path.open() === 1);
});

test('where the seed was killed meanwhile, the next one is joined at once', async () => {
  await boot();
  await up();
  await sleep();
  const { epoch, secret } = invocations[0];
  await cluster.restartSeed();
  await join({ host: 'api', epoch, secret });
  expect([wasParked, path.made()]).toEqual([false, 2]);
});

test('one that is slow, and not dead, still comes first, and the other one comes to nothing', async () => {
  await boot();
  await up();
  await sleep();
  path.slow(40);
  await up();
  expect([wasParked, count('resumed'), count('rejoined'), count('disconnected')]).toEqual([true, 1, 0, 0]);
  await eventually(() => path.made() === 2 && path.open() === 1);
  expect([count('rejoined'), count('disconnected')]).toEqual([0, 0]);
});

test('the seed closes it when the host is released', async () => {
  await boot();
  await up();
  await sleep();
  expect(await orderHost(cluster.access('operator'), 'api', 'release')).toMatchObject({ ok: true });
  await eventually(() => path.open() === 0);
  expect(parked!.take(hostIdentity('api', invocations[0].epoch), path.address)).toBeUndefined();
});

test('the seed closes it when another sandbox is the host', async () => {
  await boot();
  await up();
  await sleep();
  // The new sandbox has nothing of the old one, so it joins as the fresh epoch.
  const kept = parked!;
  parked = undefined;
  life = 'two';
  cluster.host('api', async ({ fresh }) => {
    await join({ host: 'api', ...fresh! });
    return new Promise<InvocationResult>((resolve) => {
      end = resolve;
    });
  });
  const client = await cluster.client();
  await client.locate('api', 80);
  await eventually(() => count('replaced') === 1);
  expect(path.made()).toBe(2);
  await eventually(() => path.open() === 1);
  expect(kept.take(hostIdentity('api', invocations[0].epoch), path.address)).toBeUndefined();
});

test('the seed closes it when the cluster has another key: its host is invoked with a secret of that one', async () => {
  await boot();
  await up();
  await sleep();
  const client = await cluster.client();
  keys = [Buffer.from('another key for tests only'), CLUSTER_KEY];
  await cluster.seed.reload();
  await eventually(() => path.open() === 0);
  await up(client);
  expect([wasParked, count('resumed'), path.made()]).toEqual([false, 1, 2]);
});

test('a sandbox that is not to be the host is refused over it as over any other', async () => {
  await boot();
  await up();
  await sleep();
  life = 'two';
  await expect(join(invocations[0])).rejects.toThrow(/belongs to another sandbox/);
  await eventually(() => path.open() === 0);
});

test('it is of use for the same epoch at the same seed only', async () => {
  await boot();
  await up();
  await sleep();
  expect(parked!.take(hostIdentity('api', invocations[0].epoch + 1), path.address)).toBeUndefined();
  await eventually(() => path.open() === 0);
});

test('a host that is not to come back leaves none', async () => {
  await boot();
  await up();
  const { epoch } = invocations[0];
  expect(await sessions[0].park({ outcome: 'exited', exitCode: 0 })).toBeUndefined();
  end({ host: 'api', epoch, outcome: 'exited', exitCode: 0 });
  await eventually(() => path.open() === 0);
});

test('a session that is stopped while it joins again gives the connection up', async () => {
  await boot();
  await up();
  await sleep();
  path.forget();
  const ending = new AbortController();
  const { epoch } = invocations[0];
  const opening = openSession({
    ...{ seed: path.address, identity: hostIdentity('api', epoch), secret: 'x', signal: ending.signal, parked },
    join: () => ({ host: 'api', epoch, life, ports: [] }),
    onLocation: () => undefined,
    onStop: () => undefined,
  });
  ending.abort();
  await expect(opening).rejects.toMatchObject({ code: 'aborted' });
  await pause(0);
  expect(path.made()).toBe(1);
});

test('the seed keeps one for each host, and so many in all: the oldest is closed first', () => {
  const closed: string[] = [];
  const channel = (name: string) => ({ destroy: () => void closed.push(name) });
  const kept = new ParkedAtSeed(2);
  const again = channel('a2');
  kept.add('a', channel('a1'));
  kept.add('a', again);
  expect(closed).toEqual(['a1']);
  kept.add('b', channel('b'));
  kept.add('c', channel('c'));
  expect([closed, kept.size]).toEqual([['a1', 'a2'], 2]);
  kept.remove('b', again);
  kept.close('b');
  kept.close('b');
  expect([closed, kept.size]).toEqual([['a1', 'a2', 'b'], 1]);
});

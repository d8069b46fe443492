/**
 * Connections of guests over network `nat`, for each kind of NAT: all of them work, and in the best way that can work.
 * More of them in `bench kinds`.
 */
import { bootCluster, type TestCluster } from '../support/cluster';
import { dialFiles, dialFrom, echo, type From, other } from '../support/dial';

/** How connections came to `echo`, as its supervisor tells, and how many the seed has relayed. */
async function transportsTo(cluster: TestCluster) {
  const events = await cluster.events();
  const chosen = events.filter((e) => e.host === 'echo' && e.event === 'transport-chosen').map(({ detail }) => detail);
  const relayed = events.filter((e) => e.event === 'relay-started').length;
  return {
    ways: [...new Set(chosen.map(({ by }) => by))],
    reasons: chosen.flatMap(({ reason }) => reason ?? []),
    relayed,
  };
}

const SYMMETRIC = /its NAT maps ports differently for every destination/;
/**
 * A machine that is too slow for a punch's two seconds, or that has so many under way that four ports in a row are in
 * use, relays, and says that: nothing else is a reason to.
 */
const SLOW = /ETIMEDOUT|did not answer|no answer|a port is in use/;
const LINK_LOCAL = /punched: on this side: behind the same NAT, it cannot be met at 169\.254\./;

describe.each<{ kind: string; nat: string[]; by: string; reason?: RegExp }>([
  { kind: 'port-preserving', nat: ['port-preserving'], by: 'punched' },
  { kind: 'endpoint-independent', nat: ['endpoint-independent'], by: 'punched' },
  { kind: 'shared', nat: ['shared'], by: 'punched' },
  { kind: 'shared and endpoint-independent', nat: ['shared+endpoint-independent'], by: 'punched' },
  { kind: 'shared and apart', nat: ['shared+apart'], by: 'relayed', reason: LINK_LOCAL },
  { kind: 'symmetric', nat: ['symmetric'], by: 'relayed' },
  { kind: 'symmetric at one side', nat: ['echo=symmetric'], by: 'relayed' },
])('$kind', ({ nat, by, reason: expected = SYMMETRIC }) => {
  let cluster: TestCluster;
  beforeAll(async () => {
    cluster = await bootCluster([echo('echo'), other], {
      files: dialFiles,
      upArguments: ['--network', 'nat', ...nat.flatMap((n) => ['--nat', n])],
    });
  });
  afterAll(() => cluster?.dispose());

  test.each<From>(['client', 'other'])('64 first connections at once, from %s', async (from) => {
    expect(await dialFrom(cluster, from, 'echo', 1, 64)).toEqual({ ok: 64, failed: [] });
  });

  test.each<From>(['client', 'other'])('200 connections in a row, from %s', async (from) => {
    expect(await dialFrom(cluster, from, 'echo', 200)).toEqual({ ok: 200, failed: [] });
  });

  test(`they were ${by}`, async () => {
    const { ways, reasons, relayed } = await transportsTo(cluster);
    if (by === 'relayed') expect(ways).toEqual(['relayed']);
    else expect(ways).toContain('punched');
    if (!ways.includes('relayed')) expect(relayed).toBe(0);
    for (const reason of reasons) expect(reason).toMatch(by === 'relayed' ? expected : SLOW);
    expect(await cluster.host('echo')).toMatchObject({ allocations: 1, state: 'running' });
  });
});

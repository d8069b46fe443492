/**
 * Each case of test/shim/differential says the same natively and under the shim. What differs is in
 * differences.ts, and docs/transparency.md has the reasons.
 */

import { expected } from './differences';
import { buildAll, casesOf, playNatively, playUnderShim, type Way } from './differential';
import { type Peer, startPeer } from './harness';

jest.setTimeout(120_000);

/** Cases that run natively at the same time: those whose host is not up wait a second for TCP's retransmission. */
const AT_ONCE = 6;

/**
 * Each case has ports of its own, below the usual ephemeral ones: a native listener at the wildcard takes a port at all
 * addresses. They move on from run to run, as what a test leaves in TIME_WAIT holds its port for a minute.
 */
const PORTS = 12;
const TURN = Math.floor(Date.now() / 20_000) % 5;
const NATIVE_PORTS = 12_000 + TURN * 2_400;
const SHIM_PORTS = 24_000 + TURN * 1_200;

const AREAS: readonly { area: string; flat: number; ways: readonly Way[]; handoff: readonly Way[] }[] = [
  { area: 'active', flat: 176, ways: ['direct', 'ask'], handoff: ['ready', 'listed', 'handoff-ask'] },
  { area: 'sources', flat: 180, ways: ['direct', 'ask'], handoff: ['ready', 'listed', 'handoff-ask'] },
  { area: 'pending', flat: 184, ways: ['ask'], handoff: ['handoff-ask'] },
  { area: 'waiting', flat: 188, ways: ['ask'], handoff: ['handoff-ask'] },
  { area: 'blocking', flat: 192, ways: ['ask'], handoff: ['handoff-ask'] },
  { area: 'listening', flat: 196, ways: ['direct'], handoff: ['ready', 'listed'] },
  { area: 'accepting', flat: 200, ways: ['direct'], handoff: ['ready', 'listed'] },
  { area: 'addresses', flat: 204, ways: ['direct'], handoff: ['ready', 'listed'] },
  { area: 'processes', flat: 208, ways: ['direct'], handoff: ['ready', 'listed'] },
  { area: 'options', flat: 212, ways: ['direct'], handoff: ['ready', 'listed', 'handoff-ask'] },
];

/** Starts all, a few at a time; each of the promises is for one test. */
function runAll(names: readonly string[], run: (name: string, index: number) => Promise<string>): Promise<string>[] {
  const running: Promise<unknown>[] = [];
  return names.map((name, index) => {
    const before = running[index - AT_ONCE] ?? Promise.resolve();
    const mine = before.then(() => run(name, index));
    const settled = mine.catch(() => undefined);
    running.push(Promise.all([settled, running[index - 1]]));
    return mine;
  });
}

/** Where the hosts of the handoff network have their addresses, relative to the others. */
const HANDOFF = -64;

describe.each(AREAS)('$area', ({ area, flat, ways, handoff }) => {
  const names = casesOf(area);
  const before = AREAS.slice(
    0,
    AREAS.findIndex((one) => one.area === area),
  ).flatMap((one) => casesOf(one.area)).length;
  const peers = new Map<Way, Peer>();
  let native: Promise<string>[];

  beforeAll(async () => {
    const [direct, other] = [await startPeer(flat), await startPeer(flat + HANDOFF, ['plain'], 'handoff')];
    for (const way of ways) peers.set(way, direct);
    for (const way of handoff) peers.set(way, other);
    await buildAll(area);
    native = runAll(names, (name, index) =>
      playNatively(area, name, flat + 2, NATIVE_PORTS + (before + index) * PORTS),
    );
    for (const one of native) one.catch(() => undefined);
  });
  afterAll(() => Promise.all([...new Set(peers.values())].map((peer) => peer.close())));

  describe.each([...ways, ...handoff].map((way, turn) => [way, turn] as const))('%s', (way, turn) => {
    test.each(names.map((name, index) => [name, index] as const))('%s', async (name, index) => {
      const peer = peers.get(way) as Peer;
      const ours = await playUnderShim(peer, area, name, way, SHIM_PORTS + (index + turn * names.length) * PORTS);
      const theirs = await native[index];
      expect(ours).toBe(expected(area, name, way, theirs));
    });
  });
});

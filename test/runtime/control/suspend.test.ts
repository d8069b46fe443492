/** A seed to which the path is dead, without a sign, at the moment at which a host asks it for leave. */
import { once } from 'node:events';
import type { FromSeed } from '../../../src/contract/control/from-seed';
import { packDirectory } from '../../../src/contract/control/packed-directory';
import { openSession } from '../../../src/runtime/control/index';
import { listenControl } from '../../../src/runtime/control/server';
import { fromSeed } from '../supervisor/run/hostile';

test('a question to be suspended that nobody answers ends by its limit, and the session joins again', async () => {
  const secret = Buffer.alloc(32, 1);
  const first = { ...fromSeed.find(({ type }) => type === 'welcome')!, directory: packDirectory([]) } as FromSeed;
  const joins = new EventTarget();
  const server = await listenControl({
    listen: '127.0.0.1:0',
    secretOf: () => secret,
    onPeer: (_identity, channel) => ({
      onFrame: ({ type }) => {
        if (type !== 'join') return;
        channel.send(first);
        joins.dispatchEvent(new Event('join'));
      },
      onClose: () => undefined,
    }),
    onRejected: () => undefined,
  });
  const session = await openSession({
    seed: server.address,
    identity: 'client',
    secret,
    join: () => ({ ports: [] }),
    onLocation: () => undefined,
    onStop: () => undefined,
  });
  const again = once(joins, 'join');
  const before = performance.now();
  expect(await session.suspend(100)).toEqual({ ok: false, reason: 'the seed did not answer within 100 ms' });
  expect(performance.now() - before).toBeLessThan(2_000);
  await again;
  session.close();
  await server.close();
});

import { checkFromSeed } from '../../../../src/contract/control/from-seed';
import { LOCATED, rehearse } from '../../../../src/runtime/supervisor/sockets/rehearsal';
import { openSockets, socketsSince } from '../../transport/members';

test.each([
  ['nat', undefined],
  ['flat', 77],
])('network %s: to its end, and nothing is left', async (_network, flat) => {
  const before = openSockets();
  expect(await rehearse(flat)).toEqual({ by: 'punched' });
  expect(socketsSince(before)).toBe(0);
});

test('the frame that it checks is one', () => {
  expect(checkFromSeed(LOCATED)).toEqual({ frame: LOCATED });
});

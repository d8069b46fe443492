import { checkFromSeed } from '../../../../src/contract/control/from-seed';
import { ASKED, LOCATED, rehearseConnect, rehearseRequest } from '../../../../src/runtime/supervisor/sockets/rehearsal';
import { openSockets, socketsSince } from '../../transport/members';

test.each([
  ['nat', undefined],
  ['flat', 77],
])('network %s: a connect gets to its end, and nothing is left', async (_network, flat) => {
  const before = openSockets();
  expect(await rehearseConnect(flat)).toBe('elsewhere');
  expect(socketsSince(before)).toBe(0);
});

test('a request of another host is carried out: it is refused by nothing, and nothing is left', async () => {
  const before = openSockets();
  expect(await rehearseRequest()).toEqual([]);
  expect(socketsSince(before)).toBe(0);
});

test.each([LOCATED, ASKED])('the frame $type that is checked is one', (frame) => {
  expect(checkFromSeed(frame)).toEqual({ frame });
});

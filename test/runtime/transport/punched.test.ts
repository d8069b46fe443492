import { closeSync, openSync } from 'node:fs';
import type { PeerMessage } from '../../../src/contract/peer/peer-messages';
import { Punched } from '../../../src/runtime/transport/punched/punched';
import { type Pair, twoMembers } from './members';

let pair: Pair;
let punched: Punched;
/** A reply socket, as far as these tests go: nothing is given to the guest. */
let replyTo: number;
let arrives: Pair['api']['receive'];
const closing = new AbortController();
beforeEach(() => {
  pair = twoMembers(9);
  const { connector, puncher } = pair.web;
  punched = new Punched({ connector, puncher, guestPort: () => 20_999, signal: closing.signal });
  replyTo = openSync('/dev/null', 'r');
  arrives = pair.api.receive;
});
afterEach(() => {
  pair.close();
  closeSync(replyTo);
});

const { signal } = closing;
const peerOf = (epoch: number) => ({ ...pair.api.asPeer, epoch });
/** What becomes of a guest's connect to that epoch. */
function connect(epoch: number) {
  const { host, address, nat } = pair.api.asPeer;
  const location = { host, epoch, state: 'running', address: '', ports: [], nat } as const;
  return punched.connect({ location, address, port: 80, realPort: 80, sourcePort: 0, replyTo, signal });
}
/** A connection for the supervisor: whether it is punched. */
async function isPunched(epoch: number): Promise<boolean> {
  pair.api.receive = arrives;
  pair.api.toSupervisor = (_from, _key, descriptor) => closeSync(descriptor);
  const key = Buffer.alloc(32).toString('base64');
  try {
    closeSync(await punched.toSupervisor(peerOf(epoch), { for: 'peer-link', key }));
    return true;
  } catch {
    return false;
  }
}
const answering = (answer: (id: number) => void) => (message: PeerMessage) => {
  if (message.type === 'punch') answer(message.id);
};

test('a host that was not there is punched to as soon as it is', async () => {
  pair.api.receive = answering((id) => pair.web.puncher.undeliverable(id, "'api' is imagined"));
  expect(await connect(7)).toEqual({ by: 'none', reason: "the other side: 'api' is imagined", absent: true });
  expect(await isPunched(7)).toBe(true);
});

test('an epoch that cannot be punched to is left alone for a while; the next one is not', async () => {
  pair.api.receive = answering((id) =>
    pair.web.puncher.answered('api', { type: 'unpunchable', id, reason: 'it did not come' }),
  );
  expect(await connect(7)).toEqual({ by: 'none', reason: 'the other side: it did not come' });
  expect(await isPunched(7)).toBe(false);
  expect(await isPunched(8)).toBe(true);
});

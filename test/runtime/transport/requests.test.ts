/** A member that asks this one for more than its share is refused, and takes nothing from the others. */
import { parseAddress } from '../../../src/contract/manifest/address';
import type { PeerMessage, Purpose, Sender } from '../../../src/contract/peer/peer-messages';
import { createGuard } from '../../../src/runtime/control/guard';
import { openTransports } from '../../../src/runtime/transport';
import { MOST_REQUESTED, Requests } from '../../../src/runtime/transport/punched/requests';
import { SHARE_USED } from '../../../src/runtime/transport/punched/respond';
import { eventually } from '../../support/eventually';
import { native, openSockets, socketsSince } from './members';

jest.setTimeout(30_000);

const HERE = '127.65.70.1';
/** Nobody is there: it is tried for two seconds. */
const NOBODY = '127.65.70.2';
const sender = (member: number, name: string): Sender => ({
  ...{ member, name, address: `100.64.70.${member}`, epoch: 5, addresses: [NOBODY] },
});
const flood = sender(1, 'flood');
const honest = sender(2, 'honest');

describe('shares', () => {
  const taken = (requests: Requests, from: string, connections = 1) => {
    const ends: (() => void)[] = [];
    for (let end = requests.begin(from, connections); end; end = requests.begin(from, connections)) ends.push(end);
    return ends;
  };

  test.each([1, 3, 32])('one has as many as it leaves free, %d at a time', (connections) => {
    const requests = new Requests(96 * 8);
    expect(taken(requests, 'one', connections).length * connections).toBe(96 * 4);
    expect(taken(requests, 'two', connections).length * connections).toBe(96 * 2);
    expect(taken(requests, 'three', connections).length * connections).toBe(96);
    expect(requests.begin('one', 1)).toBeUndefined();
  });

  test('what has ended counts once, and no more', () => {
    const requests = new Requests(8);
    const [first] = taken(requests, 'one');
    first();
    first();
    expect(taken(requests, 'one').length).toBe(1);
  });
});

interface Fixture {
  readonly answers: PeerMessage[];
  readonly events: string[];
  /** The token and the reason of each relayed connection that was refused. */
  readonly refusals: Array<readonly [token: string, reason: string]>;
  readonly transports: ReturnType<typeof openTransports>;
}

function member(): Fixture {
  const answers: PeerMessage[] = [];
  const events: string[] = [];
  const refusals: Fixture['refusals'] = [];
  const transports = openTransports({
    ...{ native, aliasBase: parseAddress('127.66.70.0')!, flat: undefined, mayBeOpen: false, poolMost: 0 },
    ...{ locationAt: () => undefined, onDatagram: () => undefined, onExpected: () => undefined },
    onEvent: (event, { reason }) => void events.push(`${event}: ${reason ?? ''}`),
    guard: createGuard((_level, message) => void events.push(message)),
  });
  const send = (_to: unknown, message: PeerMessage) => {
    answers.push(message);
    return true;
  };
  const own = { address: HERE, port: 20_000 };
  transports.joined(
    {
      ...{ sendPeerMessage: send, relay: () => new Promise(() => undefined), reportNat: () => undefined },
      refuseRelayed: (...refusal) => void refusals.push(refusal),
      knock: () => undefined,
    },
    { local: own, observed: own, dataPort: { address: HERE, port: 1 }, ports: [20_000, 500] },
  );
  return { answers, events, refusals, transports };
}

const purposes: Record<string, (count: number) => Purpose> = {
  connection: () => ({ for: 'connection', port: 80, sourcePort: 40_000, proof: Buffer.alloc(32).toString('base64') }),
  pool: (count) => ({ for: 'pool', secrets: Buffer.alloc(32 * count).toString('base64') }),
  'peer-link': () => ({ for: 'peer-link', key: Buffer.alloc(32).toString('base64') }),
  signalling: () => ({ for: 'signalling', key: Buffer.alloc(32).toString('base64') }),
};

test.each(Object.keys(purposes))('punches for %s: refused at once beyond the share', async (name) => {
  const { answers, transports } = member();
  const count = name === 'pool' ? 32 : 1;
  let id = 0;
  const punch = (from: Sender) => {
    const ports = Array.from({ length: count }, (_, i) => 30_000 + ((id * count + i) % 20_000));
    const to = ports.map((_, i) => 20_000 + ((id * count + i) % 500));
    const purpose = purposes[name](count);
    transports.peerMessage(from, { type: 'punch', id: ++id, near: true, address: NOBODY, from: ports, to, purpose });
  };
  const before = openSockets();
  try {
    for (let i = 0; i < 4 * MOST_REQUESTED; i++) punch(flood);
    const refused = () => answers.filter((answer) => answer.type === 'unpunchable' && answer.reason === SHARE_USED);
    expect(refused().length).toBe(4 * MOST_REQUESTED - MOST_REQUESTED / 2 / count);
    for (const answer of refused()) expect(answer).toMatchObject({ busy: true });
    await eventually(() => socketsSince(before) > 0);
    expect(socketsSince(before)).toBeLessThan(MOST_REQUESTED / 2 + 20);
    const soFar = refused().length;
    punch(honest);
    expect(refused().length).toBe(soFar);
  } finally {
    transports.close();
  }
});

test('connections through the seed: beyond the share the token is not used, and the seed is told so', async () => {
  const { events, refusals, transports } = member();
  const purpose = purposes.connection(1);
  const token = Buffer.alloc(16).toString('base64');
  const relay = (from: Sender) => transports.relayed(from, token, { type: 'relay', purpose, reason: '' });
  const refused = () => events.filter((event) => event === `relay-failed: ${SHARE_USED}`).length;
  try {
    for (let i = 0; i < MOST_REQUESTED; i++) relay(flood);
    expect(refused()).toBe(MOST_REQUESTED / 2);
    expect(refusals).toEqual(Array.from({ length: MOST_REQUESTED / 2 }, () => [token, SHARE_USED]));
    relay(honest);
    expect(refused()).toBe(MOST_REQUESTED / 2);
    // Nobody listens at that data port: each ends, which the seed is told as well, and the share is free again.
    await eventually(() => {
      const soFar = refused();
      relay(flood);
      return refused() === soFar;
    });
    expect(refusals).toContainEqual([token, 'ECONNREFUSED']);
  } finally {
    transports.close();
  }
});

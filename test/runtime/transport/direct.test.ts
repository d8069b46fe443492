/**
 * Direct connections are for network `flat`: anywhere else an address of a location would lead into the asking sandbox.
 */
import { once } from 'node:events';
import { type AddressInfo, createServer } from 'node:net';
import type { Location } from '../../../src/contract/control/location';
import { formatAddress, parseAddress } from '../../../src/contract/manifest/address';
import type { PeerMessage, Sender } from '../../../src/contract/peer/peer-messages';
import { loadNative } from '../../../src/native/addon/load';
import { createGuard } from '../../../src/runtime/control/guard';
import { openTransports } from '../../../src/runtime/transport';
import { createDirect, directRoute } from '../../../src/runtime/transport/direct/direct';

const VIRTUAL = parseAddress('100.64.7.9')!;
const located = (address: string): Location => ({ host: 'liar', epoch: 5, state: 'running', address, ports: [] });
const guestTo = (address: string) =>
  ({
    ...{ location: located(address), port: 7_000, realPort: 9_001, address: VIRTUAL, sourcePort: 0, replyTo: -1 },
    signal: new AbortController().signal,
  }) as const;
const CLAIMS = ['127.0.0.1', '127.66.7.8', '127.67.7.9', '127.64.7.9', '0.0.0.0', '169.254.169.254', '10.0.0.1', 'x'];

test.each([...CLAIMS, '127.66.7.9'])('%s is no route on a network that is not flat', (address) => {
  expect(directRoute(undefined, VIRTUAL, guestTo(address))).toBeUndefined();
  expect(createDirect(undefined).connect(guestTo(address), '')).toMatchObject({ by: 'none' });
});

test.each(CLAIMS)('%s is no route on network flat: it does not follow from the virtual address', (address) => {
  expect(directRoute(66, VIRTUAL, guestTo(address))).toBeUndefined();
});

test('the address that follows from the virtual one is a route on network flat', () => {
  const real = parseAddress('127.66.7.9')!;
  expect(createDirect(66).connect(guestTo('127.66.7.9'), '')).toEqual({
    by: 'direct',
    real,
    realPort: 9_001,
    epoch: 5,
  });
});

test('who is asked to meet somebody at an address that is not theirs connects to nobody', async () => {
  const server = createServer();
  let connected = 0;
  server.on('connection', () => {
    connected += 1;
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  const transports = openTransports({
    ...{
      native: loadNative(),
      aliasBase: parseAddress('127.66.90.0')!,
      flat: undefined,
      mayBeOpen: false,
      poolMost: 0,
    },
    ...{
      locationAt: () => undefined,
      onDatagram: () => undefined,
      onExpected: () => undefined,
      onEvent: () => undefined,
    },
    guard: createGuard(() => undefined),
  });
  const answers: PeerMessage[] = [];
  let answered: () => void = () => undefined;
  const tell = (_to: unknown, message: PeerMessage) => {
    answers.push(message);
    answered();
    return true;
  };
  const own = { address: '127.65.90.1', port };
  transports.joined(
    {
      ...{ sendPeerMessage: tell, relay: () => new Promise(() => undefined) },
      ...{ refuseRelayed: () => undefined, reportNat: () => undefined, knock: () => undefined },
    },
    { local: own, observed: own, dataPort: { address: '127.0.0.1', port: 1 }, ports: [20_000, 500] },
  );
  const from: Sender = {
    member: 1,
    name: 'liar',
    address: '100.64.7.9',
    epoch: 5,
    addresses: ['203.0.113.9', '10.0.0.7'],
  };
  const targets = ['127.0.0.1', '127.65.90.1', '0.0.0.0', formatAddress(VIRTUAL)];
  for (const near of [undefined, true] as const) {
    for (const address of targets) {
      const purpose = { for: 'connection', port: 80, sourcePort: 40_000 } as const;
      transports.peerMessage(from, { type: 'punch', id: 1, near, address, from: [port], to: [20_000], purpose });
    }
  }
  while (answers.length < 2 * targets.length) await new Promise<void>((resolve) => (answered = resolve));
  for (const answer of answers) {
    expect(answer).toMatchObject({
      type: 'unpunchable',
      reason: expect.stringContaining("is not an address of 'liar'"),
    });
  }
  expect(connected).toBe(0);
  transports.close();
  server.close();
});

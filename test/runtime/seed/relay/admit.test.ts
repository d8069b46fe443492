/** A client from outside at a real data port: a host that cannot be asked is no decision about it. */
import { connect } from 'node:net';
import type { FromSeed } from '../../../../src/contract/control/from-seed';
import { loadNative } from '../../../../src/native/addon/load';
import { Inbox } from '../../../../src/runtime/seed/members/inbox';
import type { Peer } from '../../../../src/runtime/seed/members/peer';
import { type CallerEvent, Relay, type RelayOptions } from '../../../../src/runtime/seed/relay/relay';

const LOCAL = '127.0.0.1';

/** A host, and what it was sent. @param open its connection */
function host(name: string, open: boolean) {
  const sent: FromSeed[] = [];
  const channel = {
    ...{ sent: 0, queued: 0 },
    sendEncoded: (chunks: readonly Buffer[]) => {
      if (open) sent.push(JSON.parse(String(chunks[0].subarray(4))));
      return open;
    },
  };
  const sender = { member: 1, name, address: '100.64.0.1', epoch: 1, addresses: [] };
  const peer = { name, sender, channel, inbox: new Inbox(channel as never), ports: [1, 1], locates: new Map() };
  return { peer: peer as unknown as Peer, sent };
}

type Arrival = Extract<CallerEvent, { type: 'caller' }>;

test('a host whose connection is closed: the client can be led to the next one', async () => {
  let arrived: (event: Arrival) => void = () => undefined;
  const arrival = new Promise<Arrival>((resolve) => (arrived = resolve));
  const native = loadNative();
  const relay = new Relay({
    ...({ native, members: {}, events: {} } as unknown as RelayOptions),
    ...{ listen: `${LOCAL}:0`, log: () => undefined, onCaller: (event) => event.type === 'caller' && arrived(event) },
  });
  const [listener, port] = native.listen(LOCAL, 0, false);
  relay.accept(listener, 0, null);
  const client = connect(port, LOCAL).on('error', () => undefined);
  try {
    const { id } = await arrival;
    const [closed, next] = [host('closed', false), host('next', true)];
    const purpose = { for: 'ingress', port: 8_000, sourcePort: 1 } as const;
    const message = { type: 'relay', purpose, reason: '' } as const;
    const outside = new Promise<string>((paired) => {
      const events = {
        ...{ onPaired: () => paired('paired'), onUnused: paired, onRefused: paired, onEnded: () => undefined },
      };
      const admit = ({ peer }: typeof next) =>
        relay.admit(id, { from: peer, to: peer, message, preface: new Uint8Array() }, events);
      expect(admit(closed)).toBe('its connection is closed');
      expect(admit(next)).toBeUndefined();
    });
    const [relayed] = next.sent;
    if (relayed.type !== 'relayed') throw new Error(relayed.type);
    const guest = connect(relay.port, LOCAL).on('error', () => undefined);
    guest.write(Buffer.concat([Buffer.from('IMR1'), Buffer.from(relayed.token, 'base64')]));
    expect(await outside).toBe('paired');
    guest.destroy();
  } finally {
    client.destroy();
    relay.close();
  }
});

import { once } from 'node:events';
import { type AddressInfo, connect, createServer, type Server, type Socket } from 'node:net';
import { type Handshakes, handshakes } from '../../../src/runtime/control/handshakes';

/** A server whose handshakes are ours to finish. */
let server: Server;
let open: Handshakes;
/** Ports of the peers whose handshake has begun, in that order. */
let begun: number[];
let onBegun: () => void;
let accepted: Map<number, Socket>;
const peers: Socket[] = [];

async function listen(options: Parameters<typeof handshakes>[2]) {
  begun = [];
  accepted = new Map();
  onBegun = () => undefined;
  const begin = (socket: Socket) => {
    begun.push(socket.remotePort!);
    onBegun();
  };
  open = handshakes(begin, () => undefined, options);
  server = createServer({ pauseOnConnect: true }, (socket) => {
    accepted.set(socket.remotePort!, socket);
    open.add(socket);
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
}

/** @returns the peer's port, once the server has it */
async function arrive(): Promise<number> {
  const peer = connect((server.address() as AddressInfo).port, '127.0.0.1');
  peers.push(peer);
  await Promise.all([once(server, 'connection'), once(peer, 'connect')]);
  return peer.localPort!;
}

afterEach(async () => {
  open.destroyAll();
  for (const socket of [...peers.splice(0), ...accepted.values()]) socket.destroy();
  await new Promise((resolve) => server.close(resolve));
});

test('a few at a time, in the order in which they came; the next begins when one is done or gone', async () => {
  await listen({ atOnce: 2, patience: 60_000 });
  const ports: number[] = [];
  for (let i = 0; i < 5; i++) ports.push(await arrive());
  expect(begun).toEqual(ports.slice(0, 2));
  expect(open.count).toBe(5);
  open.done(accepted.get(ports[1])!);
  expect(begun).toEqual(ports.slice(0, 3));
  // The fourth ends before its turn, the first in the middle of its own.
  const gone = ports.filter((_, i) => i === 3 || i === 0).map((port) => accepted.get(port)!);
  const closed = gone.map((socket) => once(socket, 'close'));
  for (const socket of gone) socket.destroy();
  await Promise.all(closed);
  expect(begun).toEqual([...ports.slice(0, 3), ports[4]]);
  expect(open.count).toBe(2);
});

test('those that do not go on hold up the others for a moment only, and may still be done later', async () => {
  await listen({ atOnce: 1, patience: 1 });
  const all = new Promise<void>((resolve) => {
    onBegun = () => begun.length === 4 && resolve();
  });
  const ports: number[] = [];
  for (let i = 0; i < 4; i++) ports.push(await arrive());
  await all;
  expect(begun).toEqual(ports);
  expect(open.count).toBe(4);
  for (const port of ports) open.done(accepted.get(port)!);
  expect(open.count).toBe(0);
});

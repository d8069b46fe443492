/** Ports of ours as the seed's real data port sees them. */
import { createServer } from 'node:net';
import type { NatReport } from '../../../src/contract/peer/peer-messages';
import type { DataPort } from '../../../src/native/addon';
import { PunchPorts } from '../../../src/runtime/transport/punched/punch-ports';
import { eventually } from '../../support/eventually';
import { native, openSockets, socketsSince } from './members';

jest.setTimeout(20_000);

const HERE = '127.65.5.1';
const mine: NatReport = {
  kind: 'endpoint-independent',
  reflexiveAddress: '198.51.100.1',
  localAddress: HERE,
  ports: [24_000, 100],
};
const never = new AbortController().signal;
let dataPort: DataPort;
let punchPorts: PunchPorts;
let before: ReadonlySet<string>;
beforeEach(() => {
  dataPort = native.openDataPort(HERE, 0, () => undefined);
  punchPorts = new PunchPorts(() => ({ address: HERE, port: dataPort.port }));
  before = openSockets();
});
afterEach(() => dataPort.close());

test('each is open, as it is seen it is closed', async () => {
  const opened = await punchPorts.open(mine, false, [24_000, 24_001], never);
  expect(opened.map(({ port, seen }) => [port, seen])).toEqual([
    [24_000, 24_000],
    [24_001, 24_001],
  ]);
  expect(socketsSince(before)).toBeGreaterThan(1);
  for (const port of opened) port.close();
  await eventually(() => socketsSince(before) === 0);
});

test('one that cannot be opened: the others are closed, too', async () => {
  const owner = createServer();
  await new Promise<void>((done) => owner.listen(24_012, HERE, done));
  try {
    const open = openSockets();
    const ports = [24_010, 24_011, 24_012, 24_013];
    await expect(punchPorts.open(mine, false, ports, never)).rejects.toMatchObject({ code: 'EADDRINUSE' });
    await eventually(() => socketsSince(open) === 0);
  } finally {
    owner.close();
  }
});

test('given up in the middle: none is left open', async () => {
  const giving = new AbortController();
  const opening = punchPorts.open(mine, false, [24_020, 24_021], giving.signal);
  giving.abort();
  await expect(opening).rejects.toThrow('given up');
  await eventually(() => socketsSince(before) === 0);
});

test('a data port that has gone: said so', async () => {
  dataPort.close();
  await expect(punchPorts.open(mine, false, [24_030], never)).rejects.toMatchObject({ code: 'ECONNREFUSED' });
});

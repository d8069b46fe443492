import { createServer } from 'node:net';
import type { Observation } from '../../../src/contract/peer/peer-messages';
import {
  classifyNat,
  isPredictable,
  isReached,
  natKind,
  probe,
  unpunchable,
} from '../../../src/runtime/transport/nat/nat';
import { native } from './members';

const at = (address: string, port: number) => ({ address, port });
const INNER = at('10.0.0.2', 5_000);

test.each([
  ['none', at('10.0.0.2', 5_000), at('10.0.0.2', 5_000)],
  ['port-preserving', at('198.51.100.1', 5_000), at('198.51.100.1', 5_000)],
  ['endpoint-independent', at('198.51.100.1', 6_000), at('198.51.100.1', 6_000)],
  ['symmetric', at('198.51.100.1', 6_000), at('198.51.100.1', 6_001)],
  ['symmetric', at('198.51.100.1', 5_000), at('198.51.100.1', 6_001)],
  ['symmetric', at('198.51.100.1', 5_000), at('198.51.100.2', 5_000)],
] as const)('%s: seen as %j and as %j', (kind, observed, other) => {
  expect(natKind({ local: INNER, observed }, other)).toBe(kind);
});

test('which can be named without asking, and which cannot be punched to', () => {
  const report = (kind: ReturnType<typeof natKind>) => ({
    kind,
    reflexiveAddress: '198.51.100.1',
    localAddress: '10.0.0.2',
    ports: [1, 2] as const,
  });
  const kinds = ['none', 'one-to-one', 'port-preserving', 'endpoint-independent', 'symmetric', 'unknown'] as const;
  expect(kinds.filter((kind) => isPredictable(report(kind)))).toEqual(['none', 'one-to-one', 'port-preserving']);
  expect(kinds.filter((kind) => isReached(report(kind)))).toEqual(['none', 'one-to-one']);
  expect(kinds.filter((kind) => unpunchable(report(kind)) !== undefined)).toEqual(['symmetric']);
});

const HERE = '127.65.3.1';
const seen = (dataPort: number, local: number): Observation => ({
  local: at(HERE, local),
  observed: at(HERE, local),
  dataPort: at(HERE, dataPort),
  ports: [10_240, 704],
});

test('a look from the data port of the seed', async () => {
  const dataPort = native.openDataPort(HERE, 0, () => undefined);
  try {
    const { observed, close } = await probe(at(HERE, dataPort.port), at(HERE, 23_456));
    expect(observed).toEqual(at(HERE, 23_456));
    close();
    expect(await classifyNat(seen(dataPort.port, 23_457))).toEqual({
      kind: 'none',
      reflexiveAddress: HERE,
      localAddress: HERE,
      ports: [10_240, 704],
    });
  } finally {
    dataPort.close();
  }
});

test('no data port there, or none that answers: unknown', async () => {
  expect(await classifyNat(seen(9, 23_458))).toMatchObject({ kind: 'unknown', reflexiveAddress: HERE });
  const mute = createServer((socket) => socket.on('error', () => undefined));
  await new Promise<void>((done) => mute.listen(0, HERE, done));
  try {
    const { port } = mute.address() as { port: number };
    await expect(probe(at(HERE, port), at(HERE, 23_459))).rejects.toThrow('no answer within 3000 ms');
    const giving = new AbortController();
    const given = probe(at(HERE, port), at(HERE, 23_460), giving.signal);
    giving.abort();
    await expect(given).rejects.toThrow('given up');
  } finally {
    mute.close();
  }
});

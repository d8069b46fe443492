/** UDP between hosts that are behind NATs: over a punched connection where there can be one, over a relayed one elsewhere. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { bootCluster, type TestCluster } from '../support/cluster';

const guest = (name: string) => readFileSync(join(__dirname, 'guests', name), 'utf8');
const python = '/usr/bin/python3';
const server = (name: string, ...args: string[]) => ({ name, command: [python, 'udp.py', ...args] });

describe.each([
  ['preserving', 'punched'],
  ['changing', 'punched'],
  ['symmetric', 'relayed'],
  ['preserving+no-udp', 'punched'],
])('NATs of kind %s', (kind, way) => {
  let cluster: TestCluster;
  beforeAll(async () => {
    const quiet = { ...server('quiet', '8125'), idleTimeout: 400 };
    cluster = await bootCluster([server('stats', '8125', '0.5'), server('other', '8125'), server('low', '53'), quiet], {
      name: `udp-${kind.replace('+', '-')}`,
      upArguments: ['--network', 'nat', '--nat', kind],
      files: Object.fromEntries(['udp.py', 'udp_client.py'].map((name) => [name, guest(name)])),
    });
  });
  afterAll(() => cluster?.dispose());

  const python3 = async (...args: string[]) => {
    const run = await cluster.exec([python, join(cluster.folder, 'udp_client.py'), ...args]);
    expect(run).toMatchObject({ stderr: '', code: 0 });
    return JSON.parse(run.stdout);
  };

  test('the first datagram to an imagined host allocates it, and is answered from where it went', async () => {
    const result = await python3('sendto', 'stats', '8125');
    const { address } = await cluster.host('stats');
    expect(result.source).toEqual([address, 8125]);
    expect(result.answer).toMatchObject({ data: 'hello', local: ['0.0.0.0', 8125], host: 'stats' });
    expect(result.answer.peer[0]).toMatch(/^100\.64\./);
    expect(result.answer.peer[1]).toBe(result.local[1]);
  });

  test('a connected socket sees its peer', async () => {
    const result = await python3('connected', 'other', '8125');
    const { address } = await cluster.host('other');
    expect(result.connected[1]).toEqual([address, 8125]);
    expect(result.source).toEqual([address, 8125]);
  });

  test('one host asks another one, from the port that others know it by; also a port below 1024', async () => {
    const { answer } = await python3('sendto', 'other', '8125', 'ask', 'stats', '8125', 'question');
    const { address: other } = await cluster.host('other');
    const { address: stats } = await cluster.host('stats');
    expect(answer.source).toEqual([stats, 8125]);
    expect(answer.answer).toMatchObject({ data: 'question', peer: [other, 8125], host: 'stats' });
    const low = await python3('sendto', 'other', '8125', 'ask', 'low', '53', 'name');
    expect(low.answer.answer).toMatchObject({ data: 'name', peer: [other, 8125], local: ['0.0.0.0', 53], host: 'low' });
    expect(low.answer.source[1]).toBe(53);
  });

  test('a datagram wakes a host that is suspended', async () => {
    const first = await python3('sendto', 'quiet', '8125');
    await cluster.waitFor((event) => event.host === 'quiet' && event.event === 'suspended');
    const second = await python3('connected', 'quiet', '8125', 'awake?');
    expect(second.answer).toMatchObject({ data: 'awake?', host: 'quiet' });
    expect(first.source).toEqual(second.source);
    expect((await cluster.host('quiet')).allocations).toBe(1);
  });

  test('relayed exactly where no connection can be punched', async () => {
    const events = await cluster.events();
    expect(events.some(({ event }) => event === 'relay-started')).toBe(way === 'relayed');
  });
});

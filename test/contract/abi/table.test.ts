import { IM_DIRECT, IM_LOCATE, IM_TABLE_MAGIC } from '../../../src/contract/abi/generated';
import { aliasAddress, HEADER, layoutTable, type TableSpec, writeTable } from '../../../src/contract/abi/table';
import { formatAddress, parseAddress } from '../../../src/contract/manifest/address';
import { readTable } from './table-reader';

const address = (text: string) => parseAddress(text)!;
const spec: TableSpec = {
  cluster: 'Shop',
  cidr: '100.64.0.0/16',
  self: { name: 'api', address: '100.64.9.9', nodeId: 1 },
  directory: [
    { name: 'web', aliases: ['www'], address: '100.64.200.1', nodeId: 0 },
    { name: 'api', aliases: [], address: '100.64.9.9', nodeId: 1 },
    { name: 'redis', aliases: ['cache', 'db'], address: '100.64.77.3', nodeId: 2 },
  ],
  aliases: 64,
};

function open(given: TableSpec = spec) {
  const layout = layoutTable(given);
  const memory = new ArrayBuffer(layout.size);
  return { layout, memory, writer: writeTable(memory, layout), read: readTable(memory) };
}

test('names, aliases, names in the cluster and node-IDs resolve, in lower case', () => {
  const { read } = open();
  for (const name of ['redis', 'cache', 'db', 'redis.shop', 'db.shop', 'node-2']) {
    expect([name, read.resolve(name)]).toEqual([name, '100.64.77.3']);
  }
  expect(read.resolve('node-0')).toBe('100.64.200.1');
  expect(read.resolve('nobody')).toBeUndefined();
  expect(read.text(read.u32(HEADER.hostname))).toBe('api');
});

test('the header says who this host is and which addresses are real', () => {
  const { read, layout } = open();
  expect(read.u32(HEADER.magic)).toBe(IM_TABLE_MAGIC);
  expect(read.u32(HEADER.file_size)).toBe(layout.size);
  expect(formatAddress(read.u32(HEADER.self))).toBe('100.64.9.9');
  expect(formatAddress(read.u32(HEADER.alias_base))).toBe('127.64.0.0');
  expect(formatAddress(read.u32(HEADER.alias_loop))).toBe('127.65.0.0');
  expect(formatAddress(aliasAddress(64, address('100.64.9.9')))).toBe('127.64.9.9');
});

test('hosts are sorted by address; a client that is in no directory is in its own', () => {
  expect(
    open()
      .read.hosts()
      .map((host) => host.name),
  ).toEqual(['api', 'redis', 'web']);
  const { read } = open({ ...spec, self: { name: 'client-1', address: '100.64.255.3', nodeId: 3 } });
  expect(read.resolve('client-1')).toBe('100.64.255.3');
  expect(read.text(read.u32(HEADER.hostname))).toBe('client-1');
});

test('locations and ports: sorted, whole 64-bit epochs, an even sequence number that grew', () => {
  const { read, writer } = open();
  const epoch = 1_790_000_000_123;
  const api = address('100.64.9.9');
  const redis = address('100.64.77.3');
  writer.write(
    [{ address: redis, direct: { real: address('127.64.77.3'), epoch } }],
    [
      { address: redis, port: 6379, real: address('127.64.77.3'), realPort: 6379, scope: 'any' },
      { address: api, port: 80, real: address('127.64.9.9'), realPort: 40_001, scope: 'host' },
      { address: api, port: 25, real: address('127.65.9.9'), realPort: 40_002, scope: 'loopback' },
    ],
  );
  expect(read.u32(HEADER.seq)).toBe(2);
  expect(read.hosts()[1]).toEqual({
    address: '100.64.77.3',
    name: 'redis',
    state: IM_DIRECT,
    real: '127.64.77.3',
    epoch,
  });
  expect(read.ports()).toEqual([
    { address: '100.64.9.9', port: 25, real: '127.65.9.9', realPort: 40_002, scope: 2 },
    { address: '100.64.9.9', port: 80, real: '127.64.9.9', realPort: 40_001, scope: 1 },
    { address: '100.64.77.3', port: 6379, real: '127.64.77.3', realPort: 6379, scope: 0 },
  ]);
  writer.write([{ address: redis }], []);
  expect(read.hosts()[1]).toMatchObject({ state: IM_LOCATE, real: '0.0.0.0', epoch: 0 });
  expect(read.ports()).toEqual([]);
  expect(read.u32(HEADER.seq)).toBe(4);
});

test('when there is no room for all ports, the first ones given stay', () => {
  const { read, writer } = open({ ...spec, portsCapacity: 2 });
  const row = (port: number) => ({ address: 1, port, real: 2, realPort: port, scope: 'any' as const });
  writer.write([], [row(30), row(20), row(10)]);
  expect(read.ports().map((p) => p.port)).toEqual([20, 30]);
});

test('a thousand hosts all resolve', () => {
  const directory = Array.from({ length: 1000 }, (_, i) => ({
    name: `worker-${i}`,
    aliases: [],
    address: formatAddress(address('100.64.1.0') + i),
    nodeId: i,
  }));
  const { read } = open({ ...spec, directory });
  for (const { name, address: wanted } of directory) expect(read.resolve(`${name}.shop`)).toBe(wanted);
});

import { createGuard } from '../../../../src/runtime/control/guard';
import { LocateError } from '../../../../src/runtime/control/index';
import { type DatagramRequest, Datagrams } from '../../../../src/runtime/supervisor/datagrams/datagrams';
import type { Locations } from '../../../../src/runtime/supervisor/sockets/locations';
import type { Locator } from '../../../../src/runtime/supervisor/sockets/locator';

const api = 0x64400006;
const location = { host: 'api', epoch: 1, state: 'running', address: '127.64.0.6', ports: [] } as const;

function open() {
  const sent: string[] = [];
  const closed: number[] = [];
  const asked: string[] = [];
  /** Hosts that were known, and had not to be located. */
  const used: Array<string | undefined> = [];
  let settle: { answer(realPort: number): void; fail(error: Error): void } | undefined;
  let up = false;
  const datagrams = new Datagrams({
    guard: createGuard(() => undefined),
    native: {
      sendDatagram: (fd, data, address, port, ...manner) =>
        sent.push(`${fd} ${Buffer.from(data)} ${address.toString(16)}:${port} ${manner}`) > 0,
      closeDescriptor: (fd) => void closed.push(fd),
    },
    locations: {
      hostAt: (address: number) => (address === api ? 'api' : undefined),
      distrusted: () => undefined,
      apply: () => {
        up = true;
        return true;
      },
      findDatagrams: (_host: string, port: number) => (up ? { location, port, realPort: port } : undefined),
    } as unknown as Locations,
    locator: {
      locate: (host: string, port: number, options: { protocol?: string }) => {
        asked.push(`${host}:${port}/${options.protocol}`);
        return new Promise((resolve, reject) => {
          settle = { answer: (realPort) => resolve({ location, realPort }), fail: reject };
        });
      },
    } as unknown as Locator,
    expected: { used: (host) => void used.push(host) },
    route: ({ realPort }) => ({ real: 0x7f400006, realPort }),
    nowhere: () => 0x7f400006,
    log: () => undefined,
  });
  const request = (text: string, more: Partial<DatagramRequest> = {}): DatagramRequest => ({
    op: 'datagram',
    pid: 1,
    cookie: 1n,
    address: api,
    port: 53,
    source: 9,
    sourcePort: 8,
    marks: 7,
    data: Buffer.from(text),
    ...more,
  });
  return { datagrams, sent, closed, asked, used, request, settle: () => settle! };
}

test('what is sent to a host that is not up goes out in order when it is, each from its own socket', async () => {
  const { datagrams, sent, closed, asked, used, request, settle } = open();
  datagrams.send(request('a'), 10);
  datagrams.send(request('b'), 11);
  datagrams.send(request('c', { cookie: 2n }), 12);
  // A socket is kept once.
  expect(closed).toEqual([11]);
  expect(asked).toEqual(['api:53/udp']);
  const drained = datagrams.drained(new AbortController().signal);
  settle().answer(64_565);
  await drained;
  expect(sent).toEqual(['10 a 7f400006:64565 9,8,7', '10 b 7f400006:64565 9,8,7', '12 c 7f400006:64565 9,8,7']);
  expect(closed).toEqual([11, 10, 12]);
  expect(used).toEqual([]);
  datagrams.send(request('d'), 13);
  expect(sent[3]).toBe('13 d 7f400006:53 9,8,7');
  expect(closed[3]).toBe(13);
  expect(used).toEqual(['api']);
});

test('a host that does not come up: sent to where the kernel refuses it', async () => {
  const { datagrams, sent, closed, request, settle } = open();
  datagrams.send(request('a'), 10);
  settle().fail(new LocateError('ECONNREFUSED', 'it exited'));
  await datagrams.drained(new AbortController().signal);
  expect(sent).toEqual(['10 a 7f400006:64565 9,8,7']);
  expect(closed).toEqual([10]);
});

test('an address that is nobody’s, and more than there is room for, are lost without a leak', async () => {
  const { datagrams, sent, closed, request, settle } = open();
  datagrams.send(request('x', { address: 1 }), 9);
  for (let i = 0; i < 300; i++) datagrams.send(request(String(i), { cookie: BigInt(i) }), 100 + i);
  expect(closed).toHaveLength(1 + 300 - 128);
  settle().answer(53);
  await datagrams.drained(new AbortController().signal);
  expect(sent).toHaveLength(128);
  expect(closed).toHaveLength(301);
});

test('closing gives the sockets back, and ends the wait', async () => {
  const { datagrams, closed, request } = open();
  datagrams.send(request('a'), 10);
  const drained = datagrams.drained(new AbortController().signal);
  datagrams.close();
  await drained;
  expect(closed).toEqual([10]);
});

import { createListeners, publicPorts } from '../../../../src/runtime/supervisor/sockets/listeners';
import type { OwnPort } from '../../../../src/runtime/supervisor/sockets/locations';
import type { TcpSocket } from '../../../../src/runtime/supervisor/sockets/proc-net';

const real = 0x7f400005;
const port = (number: number, change: Partial<OwnPort> = {}): OwnPort => ({
  port: number,
  real,
  realPort: number,
  scope: 'any',
  ...change,
});
const socket = (realPort: number, local = real): TcpSocket => ({
  local,
  localPort: realPort,
  remote: 0,
  remotePort: 0,
  state: 10,
  sendQueue: 0,
  receiveQueue: 0,
  timer: 0,
  inode: 1,
});

beforeEach(() => void jest.useFakeTimers({ now: 0 }));
afterEach(() => void jest.useRealTimers());

function open(settleTime = 1_000, sockets: () => TcpSocket[] = () => []) {
  const changes: string[] = [];
  const listening: number[] = [];
  const listeners = createListeners({
    settleTime,
    onChange: (ports, settled) => changes.push(`${ports.map((p) => p.port).join(' ')}${settled ? ' settled' : ''}`),
    onListening: (p) => listening.push(p.port),
    sockets,
  });
  return { listeners, changes, listening };
}

test('settled when no listener was added for settleTime', () => {
  const { listeners, changes } = open();
  expect(listeners.settled).toBe(false);
  listeners.add(port(80));
  jest.advanceTimersByTime(900);
  listeners.add(port(81));
  jest.advanceTimersByTime(900);
  expect(changes).toEqual(['80', '80 81']);
  jest.advanceTimersByTime(100);
  expect(changes).toEqual(['80', '80 81', '80 81 settled']);
  expect(listeners.settled).toBe(true);
});

test('not settled while guests are starting, up to a limit', () => {
  let busy = true;
  let settled = 0;
  const make = () =>
    createListeners({
      settleTime: 1_000,
      starting: () => busy,
      onChange: (_, now) => {
        settled += now ? 1 : 0;
      },
      onListening: () => undefined,
      sockets: () => [],
    });
  make().add(port(4369));
  jest.advanceTimersByTime(5_500);
  expect(settled).toBe(0);
  busy = false;
  jest.advanceTimersByTime(1_000);
  expect(settled).toBe(1);
  busy = true;
  make().add(port(4369));
  jest.advanceTimersByTime(59_000);
  expect(settled).toBe(1);
  jest.advanceTimersByTime(1_000);
  expect(settled).toBe(2);
});

test('the same listener announced again changes nothing; the same port elsewhere does', () => {
  const { listeners, changes, listening } = open(1_000, () => [socket(40_080)]);
  listeners.add(port(80));
  listeners.add(port(80));
  expect(changes).toEqual(['80']);
  listeners.add(port(80, { realPort: 40_080 }));
  listeners.add(port(80, { scope: 'loopback' }));
  expect(changes).toEqual(['80', '80', '80 80']);
  expect(listening).toEqual([80, 80]);
  expect(publicPorts(listeners.ports)).toEqual([{ port: 80, realPort: 40_080, scope: 'any' }]);
  expect(listeners.find(80)).toMatchObject({ realPort: 40_080 });
});

test('closed listeners are dropped, but not before the kernel had time to list them', () => {
  const { listeners, changes } = open();
  listeners.add(port(80));
  listeners.add(port(81));
  listeners.check([]);
  expect(listeners.ports).toHaveLength(2);
  jest.advanceTimersByTime(1_000);
  listeners.check([socket(80), socket(81, 0x7f400009)]);
  expect(changes.at(-1)).toBe('80 settled');
  // Bound to every address, as on a network where no address is rewritten.
  listeners.check([socket(80, 0)]);
  expect(listeners.ports).toHaveLength(1);
  listeners.check([]);
  expect(changes.at(-1)).toBe('');
  expect(listeners.settled).toBe(false);
});

test('UDP ports are dropped when nobody has them, settle by themselves and are no listeners', () => {
  const told: string[] = [];
  const listeners = createListeners({
    settleTime: 500,
    onChange: (ports, tcp, udp) =>
      told.push(`${ports.map((p) => `${p.port}${p.protocol ?? ''}`).join(' ')} ${tcp} ${udp}`),
    onListening: () => undefined,
    sockets: () => [socket(53)],
  });
  listeners.add(port(53, { protocol: 'udp', realPort: 64_565 }));
  listeners.add(port(53));
  expect(publicPorts(listeners.ports)).toContainEqual({ port: 53, realPort: 64_565, scope: 'any', protocol: 'udp' });
  expect(listeners.find(53)?.realPort).toBe(53);
  jest.advanceTimersByTime(2_000);
  expect(listeners.settledDatagrams && listeners.settled).toBe(true);
  listeners.check([socket(53)], () => [{ ...socket(64_565), state: 7 }]);
  expect(listeners.ports).toHaveLength(2);
  listeners.check([socket(53)], () => []);
  expect(told.at(-1)).toBe('53 true false');
});

test('a server that binds UDP ports early is not taken for settled before it listens', () => {
  const { listeners } = open();
  listeners.add(port(8_125, { protocol: 'udp' }));
  jest.advanceTimersByTime(5_000);
  expect(listeners.settledDatagrams).toBe(true);
  expect(listeners.settled).toBe(false);
});

test('a listener for IPv6 only is the host’s own: told to nobody, and gone when nothing listens on its port', () => {
  const { listeners, changes } = open();
  const listening = (local: number) => [socket(50_000, local)];
  listeners.add(port(80, { scope: 'loopback6', real: 1, realPort: 50_000 }));
  expect(publicPorts(listeners.ports)).toEqual([]);
  expect(listeners.find(80)).toBeUndefined();
  jest.advanceTimersByTime(60_000);
  // An address of IPv6 is listed as -1.
  listeners.check(listening(-1));
  expect(listeners.ports).toHaveLength(1);
  listeners.check(listening(real));
  expect(listeners.ports).toHaveLength(0);
  expect(changes.at(-1)).toBe('');
});

test('a port that is listened on at another address makes those forgotten that are closed, however young', () => {
  let sockets = [socket(80)];
  const { listeners } = open(1_000, () => sockets);
  listeners.add(port(80));
  listeners.add(port(80, { scope: 'loopback', real: 0x7f410005 }));
  expect(listeners.ports.map((p) => p.scope)).toEqual(['any', 'loopback']);
  sockets = [socket(80, 0x7f410005)];
  listeners.add(port(80, { scope: 'host', realPort: 50_080 }));
  expect(listeners.ports.map((p) => p.scope)).toEqual(['loopback', 'host']);
});

test('closed listeners do not pile up where nobody checks', () => {
  let last = 0;
  const { listeners } = open(1_000, () => [socket(last)]);
  for (let number = 1_000; number < 3_000; number++) {
    last = number;
    listeners.add(port(number));
    expect(listeners.ports.length).toBeLessThanOrEqual(64);
    expect(listeners.find(number)).toBeDefined();
  }
});

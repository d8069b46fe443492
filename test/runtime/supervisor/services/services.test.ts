import type { MemberView } from '../../../../src/contract/control/services';
import { Services } from '../../../../src/runtime/supervisor/services/services';

beforeEach(() => jest.useFakeTimers());
afterEach(() => jest.useRealTimers());

const view = (change: Partial<MemberView> = {}): MemberView => ({
  ...{ state: 'running', connections: 0, cpu: 0, draining: false },
  ...change,
});
const NONE: ReadonlySet<string> = new Set();
const [A, B] = [0x64400002, 0x64400003];

function setUp(maxConnections = 4) {
  const open = new Map<number, number>();
  const used: string[] = [];
  const chosen: string[] = [];
  const service = { members: ['a', 'b'], instances: 0, maxConnections, sticky: false };
  const services = new Services({
    directory: [
      { name: 'a', aliases: [], address: '100.64.0.2', nodeId: 0 },
      { name: 'b', aliases: [], address: '100.64.0.3', nodeId: 1 },
      { name: 'web', aliases: [], address: '100.64.0.9', nodeId: 2, service },
    ],
    self: 0,
    session: () => ({
      use: (name) => used.push(name),
      chosen: ({ member, why }) => chosen.push(`${member}: ${why}`),
    }),
    open: () => open,
    onChange: () => undefined,
    onUsed: () => undefined,
  });
  const loads = () => services.candidates('web').map(({ connections }) => connections);
  const publish = (...members: MemberView[]) => services.publish({ service: 'web', members });
  const lead = (host?: string) => {
    const choice = services.choose('web', 80, NONE)!;
    if (host) expect(choice.name).toBe(host);
    services.led('web', choice.name);
    const address = services.addressOf(choice.name);
    return { name: choice.name, opens: () => open.set(address, (open.get(address) ?? 0) + 1) };
  };
  return { services, open, used, chosen, loads, publish, lead };
}

test('known once the seed has sent it; asked for once, and again after a join', async () => {
  const { services, used, publish } = setUp();
  expect(services.at(0x64400009)).toBe('web');
  expect(services.at(A)).toBeUndefined();
  const { signal } = new AbortController();
  const known = Promise.all([services.known('web', signal), services.known('web', signal)]);
  expect(used).toEqual(['web']);
  publish(view());
  publish(view(), view());
  await known;
  services.joined();
  expect(used).toEqual(['web', 'web']);
});

test('a connect that waits for what is known ends with its signal', async () => {
  const { services } = setUp();
  const caller = new AbortController();
  const known = services.known('web', caller.signal);
  caller.abort();
  await expect(known).rejects.toMatchObject({ errno: 'ETIMEDOUT' });
});

test('connections to an epoch that has ended take no room of the next one', () => {
  const { open, publish, lead } = setUp(2);
  open.set(A, 2);
  publish(view({ connections: 2 }), view({ connections: 2 }));
  publish(view({ state: 'imagined' }), view({ connections: 2 }));
  expect(lead().name).toBe('a');
});

test('what was chosen counts at once, and only once when the host has reported it', () => {
  const { services, loads, publish, lead } = setUp();
  publish(view(), view());
  for (let i = 0; i < 4; i++) lead().opens();
  expect(loads()).toEqual([2, 2]);
  jest.advanceTimersByTime(60);
  expect(loads()).toEqual([2, 2]);
  publish(view({ connections: 2 }), view({ connections: 2 }));
  expect(loads()).toEqual([2, 2]);
  services.choose('web', 80, NONE);
  expect(loads().sort()).toEqual([2, 3]);
});

test('connections of other members count beside the own ones', () => {
  const { loads, publish, lead } = setUp(9);
  publish(view({ connections: 5 }), view({ connections: 6 }));
  lead('a').opens();
  expect(loads()).toEqual([6, 6]);
  jest.advanceTimersByTime(60);
  expect(loads()).toEqual([6, 6]);
});

test('short connections fill no host, however many there are', () => {
  const { services, open, loads, publish } = setUp();
  publish(view(), view());
  for (let round = 0; round < 20; round++) {
    for (let i = 0; i < 40; i++) services.led('web', services.choose('web', 80, NONE)!.name);
    // All but one of them have ended.
    open.set(A, 1);
    jest.advanceTimersByTime(60);
    if (round > 0) expect(Math.max(...loads())).toBeLessThanOrEqual(4);
  }
});

test('a host that failed is avoided for two seconds; a choice that came to nothing does not count', () => {
  const { services, loads, publish } = setUp();
  publish(view(), view());
  const { name } = services.choose('web', 80, NONE)!;
  services.failed('web', name);
  expect(loads()).toEqual([0, 0]);
  for (let i = 0; i < 3; i++) {
    const next = services.choose('web', 80, NONE)!;
    expect(next.name).not.toBe(name);
    services.led('web', next.name);
  }
  jest.advanceTimersByTime(2_001);
  expect(services.choose('web', 80, NONE)!.name).toBe(name);
});

test('a choice is reported once in ten seconds; another reason, at once', () => {
  const { services, chosen, publish, lead } = setUp(2);
  publish(view(), view({ state: 'imagined' }));
  for (let i = 0; i < 2; i++) lead('a').opens();
  expect(services.choose('web', 80, NONE)).toEqual({ name: 'b', why: 'imagined' });
  expect(chosen).toEqual([
    'a: the function with the fewest connections',
    'b: all that run are full, and it is imagined',
  ]);
  expect(B).toBe(services.addressOf('b'));
});

/** What an exposed port allows each client. */
import { ExposedClients } from '../../../../src/runtime/seed/ingress/clients';

const RULES = {
  allowFrom: ['0.0.0.0/0'],
  maxConnectionsPerClient: 3,
  maxNewConnectionsPerMinutePerClient: 60,
  maxAllocationsPerMinutePerClient: 2,
};

function clientsAt(rules: Partial<typeof RULES> = {}) {
  let now = 0;
  const clients = new ExposedClients({ ...RULES, ...rules }, () => now);
  return { clients, pass: (milliseconds: number) => (now += milliseconds) };
}

test('the allow-list: blocks of any size, and nobody else', () => {
  const { clients } = clientsAt({ allowFrom: ['198.51.100.0/24', '203.0.113.7/32'] });
  expect(clients.connects('198.51.100.255')).toBeUndefined();
  expect(clients.connects('203.0.113.7')).toBeUndefined();
  for (const address of ['198.51.101.0', '203.0.113.6', '203.0.113.8', '127.0.0.1'])
    expect(clients.connects(address)).toBe('allowFrom');
  expect(clients.size).toBe(2);
});

test('open connections of one client are bounded, and no other client notices', () => {
  const { clients } = clientsAt();
  for (let i = 0; i < 3; i++) expect(clients.connects('192.0.2.1')).toBeUndefined();
  expect(clients.connects('192.0.2.1')).toBe('maxConnectionsPerClient');
  expect(clients.connects('192.0.2.2')).toBeUndefined();
  clients.leaves('192.0.2.1');
  expect(clients.connects('192.0.2.1')).toBeUndefined();
});

test('new connections: a minute worth at once, then evenly', () => {
  const { clients, pass } = clientsAt();
  const connect = () => {
    const refusal = clients.connects('192.0.2.1');
    if (!refusal) clients.leaves('192.0.2.1');
    return refusal;
  };
  for (let i = 0; i < 60; i++) expect(connect()).toBeUndefined();
  expect(connect()).toBe('maxNewConnectionsPerMinutePerClient');
  pass(1_000);
  expect(connect()).toBeUndefined();
  expect(connect()).toBe('maxNewConnectionsPerMinutePerClient');
  pass(60_000);
  for (let i = 0; i < 60; i++) expect(connect()).toBeUndefined();
  expect(connect()).toBe('maxNewConnectionsPerMinutePerClient');
});

test('allocations: the same, and only of clients that are connected', () => {
  const { clients, pass } = clientsAt();
  expect(clients.allocates('192.0.2.1')).toBe('maxAllocationsPerMinutePerClient');
  clients.connects('192.0.2.1');
  expect(clients.allocates('192.0.2.1')).toBeUndefined();
  expect(clients.allocates('192.0.2.1')).toBeUndefined();
  expect(clients.allocates('192.0.2.1')).toBe('maxAllocationsPerMinutePerClient');
  pass(30_000);
  expect(clients.allocates('192.0.2.1')).toBeUndefined();
});

test('what is kept of clients is bounded: those that are whole again are forgotten, and others are refused', () => {
  const { clients, pass } = clientsAt();
  const address = (i: number) => `10.${i >> 16}.${(i >> 8) & 255}.${i & 255}`;
  for (let i = 0; i < 5_000; i++) {
    expect(clients.connects(address(i))).toBeUndefined();
    clients.leaves(address(i));
    pass(1_000);
  }
  expect(clients.size).toBeLessThanOrEqual(2_048);
  let refused = 0;
  for (let i = 0; i < 70_000; i++) if (clients.connects(address(i)) === 'too many clients') refused += 1;
  expect(clients.size).toBe(65_536);
  expect(refused).toBeGreaterThan(0);
});

test('a table that was full has room again once its clients are whole', () => {
  const { clients, pass } = clientsAt();
  const address = (i: number) => `10.${i >> 16}.${(i >> 8) & 255}.${i & 255}`;
  for (let i = 0; i < 66_000; i++) clients.connects(address(i));
  expect(clients.size).toBe(65_536);
  for (let i = 0; i < 65_536; i++) clients.leaves(address(i));
  expect(clients.connects('192.0.2.1')).toBe('too many clients');
  pass(60_000);
  expect(clients.connects('192.0.2.1')).toBeUndefined();
  expect(clients.size).toBe(1);
});

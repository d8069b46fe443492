/** Every frame and every peer message with all of its fields: it goes through whole, and no other field does. */

import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { checkFromSeed, type FromSeed } from '../../../src/contract/control/from-seed';
import { checkToSeed, type ToSeed } from '../../../src/contract/control/to-seed';
import type { ManifestHost } from '../../../src/contract/manifest';
import { checkMessage, type PeerMessage, type Purpose } from '../../../src/contract/peer/peer-messages';
import { ENTRY_DEFAULTS } from '../../support/defaults';

type Typed = { readonly type: string };

const ports = [{ port: 80, realPort: 40_080, scope: 'any', protocol: 'udp' }] as const;
const NAT = { kind: 'none', reflexiveAddress: '203.0.113.1', localAddress: '10.0.0.7', ports: [10_240, 704] } as const;
const from = { member: 1, name: 'api', address: '100.64.0.2', epoch: 5, addresses: ['203.0.113.1'] } as const;
const key = `${'A'.repeat(43)}=`;
const purposes: { readonly [F in Purpose['for']]: Required<Extract<Purpose, { for: F }>> } = {
  connection: { for: 'connection', port: 80, sourcePort: 40_000, proof: key },
  ingress: { for: 'ingress', port: 80, sourcePort: 40_000 },
  pool: { for: 'pool', secrets: 'A'.repeat(43) },
  signalling: { for: 'signalling', key },
  'peer-link': { for: 'peer-link', key },
};
const messages: { readonly [T in PeerMessage['type']]: Required<Extract<PeerMessage, { type: T }>> } = {
  punch: {
    ...{
      type: 'punch',
      id: 1,
      near: true,
      direct: true,
      address: '203.0.113.1',
      from: [1_024],
      to: [1_025],
      guess: true,
    },
    purpose: purposes.connection,
  },
  punching: { type: 'punching', id: 1, address: '203.0.113.1', ports: [1_024] },
  unpunchable: { type: 'unpunchable', id: 1, reason: 'no', busy: true },
  relay: { type: 'relay', purpose: purposes['peer-link'], reason: 'no' },
  probe: { type: 'probe' },
  probing: { type: 'probing' },
};
const message = messages.punch;
const toSeed: { readonly [T in ToSeed['type']]: Required<Extract<ToSeed, { type: T }>> } = {
  join: {
    ...{
      type: 'join',
      host: 'api',
      epoch: 5,
      life: 'a',
      born: 4,
      asClient: true,
      virtual: '100.64.0.2',
      ports,
      nat: NAT,
    },
    directoryDigest: 'x',
  },
  locate: { type: 'locate', id: 1, host: 'api', port: 80, staleEpoch: 4, waited: 1, protocol: 'udp' },
  watch: { type: 'watch', host: 'api', epoch: 5 },
  used: { type: 'used', host: 'api', epoch: 5 },
  data: { type: 'data', host: 'api', epoch: 5 },
  cancel: { type: 'cancel', id: 1 },
  ports: { type: 'ports', ports, settled: true, settledDatagrams: true },
  report: { type: 'report', event: 'guest-started', detail: { a: 1, b: 'c', d: null, e: true } },
  natReport: { type: 'natReport', nat: NAT },
  knock: { type: 'knock', port: 10_943, secret: `${'A'.repeat(43)}=` },
  peerMessage: { type: 'peerMessage', to: 'api', message },
  relay: { type: 'relay', id: 1, to: 7, message },
  relayRefused: { type: 'relayRefused', token: key, reason: 'why' },
  held: { type: 'held', by: 'cpu', what: 'x' },
  suspend: { type: 'suspend' },
  stay: { type: 'stay' },
  ack: { type: 'ack', host: 'api', version: 1 },
  leave: { type: 'leave', outcome: 'exited', reason: 'why', exitCode: 1, wakeIn: 1, park: true },
  membership: { type: 'membership', id: 1, op: 'follow' },
  barrier: { type: 'barrier', id: 1, count: 2, hosts: ['api'], timeout: 1 },
  leaveBarrier: { type: 'leaveBarrier', id: 1 },
  status: { type: 'status', id: 1 },
  edges: { type: 'edges', id: 1 },
  events: { type: 'events', id: 1, follow: true },
  command: { type: 'command', id: 1, host: 'api', command: 'start' },
  reload: { type: 'reload', id: 1 },
  useService: { type: 'useService', service: 'web' },
  load: { type: 'load', connections: 3, cpu: 20 },
  chosen: { type: 'chosen', service: 'web', member: 'web-0', port: 80, why: 'the fewest connections' },
};
const location = {
  host: 'api',
  epoch: 5,
  oldest: 4,
  state: 'running',
  address: '127.64.0.2',
  ports,
  nat: NAT,
} as const;
const entry: ManifestHost = { ...ENTRY_DEFAULTS, name: 'api', address: '100.64.0.2' };
const status = { name: 'api', address: '100.64.0.2', state: 'running', epoch: 5, since: 1.5, reason: 'why' } as const;
const fromSeed: { readonly [T in FromSeed['type']]: Required<Extract<FromSeed, { type: T }>> } = {
  welcome: {
    ...{ type: 'welcome', cluster: 'test', cidr: '100.64.0.0/16', host: entry, directory: 'x', directoryDigest: 'y' },
    self: { name: 'api', address: '100.64.0.2', nodeId: 0, epoch: 5 },
    ...{ observed: '203.0.113.1', observedPort: 1, dataPort: 2, ports: [10_240, 704] },
    standby: { seed: '203.0.113.2:9410', heartbeat: 500 },
  },
  refuse: { type: 'refuse', reason: 'why', fenced: true },
  located: { type: 'located', id: 1, location, realPort: 80 },
  unreachable: { type: 'unreachable', id: 1, errno: 'ETIMEDOUT', reason: 'why' },
  location: { type: 'location', version: 1, location },
  expected: { type: 'expected', host: 'api', epoch: 5 },
  clientGone: { type: 'clientGone', client: 'client-3' },
  peerMessage: { type: 'peerMessage', from, message },
  undeliverable: { type: 'undeliverable', to: 'api', id: 1, reason: 'why' },
  relayReply: { type: 'relayReply', id: 1, token: 'x' },
  relayed: { type: 'relayed', from, token: 'x', message },
  suspendReply: { type: 'suspendReply', ok: true, reason: 'why' },
  parked: { type: 'parked' },
  release: { type: 'release', reason: 'why' },
  stop: { type: 'stop', reason: 'why', fenced: true },
  secret: { type: 'secret', secret: 'x' },
  commandReply: { type: 'commandReply', id: 1, ok: false, reason: 'why', state: 'running' },
  reloaded: { type: 'reloaded', id: 1, keys: ['x'] },
  members: {
    ...{ type: 'members', id: 1, complete: true },
    members: [{ id: 0, name: 'api', address: '100.64.0.2', epoch: 5, state: 'joined' }],
  },
  barrierReply: { type: 'barrierReply', id: 1, met: false, present: 1, missing: ['api'], reason: 'why' },
  statusReply: {
    ...{ type: 'statusReply', id: 1 },
    status: {
      ...{ cluster: 'test', cidr: '100.64.0.0/16', startedAt: 1 },
      hosts: [
        {
          ...{ ...status, allocations: 1, allocateMs: 1.5, ports: [80], waiting: 0 },
          heldBy: { by: 'cpu', what: 'x', since: 1 },
          lastHeldBy: { by: 'cpu', what: 'x', since: 1, until: 2 },
        },
      ],
    },
  },
  edgesReply: {
    ...{ type: 'edgesReply', id: 1, more: true },
    edges: [{ from: 'web', to: 'api', kind: 'learnt', hits: 1, misses: 2, wastedMs: 1.5, wastedStarts: 1 }],
  },
  event: { type: 'event', id: 1, event: { time: 1.5, host: null, event: 'running', detail: {} } },
  eventsEnd: { type: 'eventsEnd', id: 1 },
  service: {
    ...{ type: 'service', service: 'web', version: 1 },
    members: [{ state: 'running', connections: 3, cpu: 20, draining: true }],
  },
};

/**
 * The message with one more field, in each of its objects in turn. What holds any names (details) or is not checked is
 * left out.
 */
function* widened(value: unknown, path = ''): Generator<readonly [where: string, value: unknown]> {
  if (typeof value !== 'object' || value === null || /(^|\.)(detail|host)$/.test(path)) return;
  if (!Array.isArray(value)) yield [`${path}${path && '.'}surplus`, { ...value, surplus: 1 }];
  for (const [name, inner] of Object.entries(value)) {
    for (const [where, wider] of widened(inner, `${path}${path && '.'}${name}`)) {
      const copy = Array.isArray(value) ? [...value] : { ...value };
      (copy as Record<string, unknown>)[name] = wider;
      yield [where, copy];
    }
  }
}

const onWire = <T>(value: T): T => JSON.parse(JSON.stringify(value));

describe.each([
  ['to the seed', Object.values(toSeed), checkToSeed],
  ['from the seed', Object.values(fromSeed), checkFromSeed],
] as const)(
  'frames %s',
  (_which, frames, check: (frame: Typed) => { readonly frame: Typed } | { readonly problem: string }) => {
    test.each(frames.map((frame) => [frame.type, frame] as const))("'%s' goes through whole", (_type, frame) => {
      expect(check(onWire(frame))).toEqual({ frame: onWire(frame) });
    });

    test.each(
      frames.flatMap((frame) =>
        [...widened(frame)].map(([where, wider]) => [frame.type, where, wider as Typed] as const),
      ),
    )("'%s' with an unknown field at %s is refused by its name", (type, where, wider) => {
      expect(check(wider)).toEqual({ problem: `a '${type}' frame: ${where}: this field is unknown` });
    });
  },
);

test.each(Object.values(purposes).map((purpose) => [purpose.for, purpose] as const))(
  'a peer message for a %s: nothing in it is dropped, and nothing unknown gets through',
  (_for, purpose) => {
    for (const sample of [...Object.values(messages), { ...messages.punch, purpose }, { ...messages.relay, purpose }]) {
      expect(checkMessage(onWire(sample))).toEqual(sample);
      for (const [, wider] of widened(sample)) expect(checkMessage(wider)).toBeUndefined();
    }
  },
);

test('the README lists every frame with its direction, and no other one', () => {
  const readme = readFileSync(join(__dirname, '../../../src/contract/control/README.md'), 'utf8');
  const listed = [...readme.matchAll(/^\| `(\w+)` +\| (to|from) seed/gm)].map(([, type, way]) => `${way} ${type}`);
  expect(listed).toEqual([
    ...Object.keys(toSeed).map((type) => `to ${type}`),
    ...Object.keys(fromSeed).map((type) => `from ${type}`),
  ]);
});

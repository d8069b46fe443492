/**
 * One good sample of every kind of frame, message and request, and what a liar makes of them. A kind without a sample
 * does not compile.
 */
import type { FromSeed } from '../../../../src/contract/control/from-seed';
import type { Location } from '../../../../src/contract/control/location';
import type { ToSeed } from '../../../../src/contract/control/to-seed';
import type { NatReport, PeerMessage, Purpose, Sender } from '../../../../src/contract/peer/peer-messages';

type Samples<T extends { readonly [name in K]: string }, K extends string> = {
  readonly [kind in T[K]]: Extract<T, { readonly [name in K]: kind }>;
};

const KEY = Buffer.alloc(32, 7).toString('base64');
const NAT: NatReport = {
  kind: 'none',
  reflexiveAddress: '127.0.0.1',
  localAddress: '127.0.0.1',
  ports: [10_240, 704],
};
export const SENDER: Sender = { member: 9, name: 'api', address: '100.64.0.6', epoch: 10, addresses: ['127.0.0.1'] };
const LOCATION: Location = { host: 'api', epoch: 10, state: 'running', ports: [], nat: NAT };

const PURPOSES: Samples<Purpose, 'for'> = {
  connection: { for: 'connection', port: 80, sourcePort: 4_711 },
  ingress: { for: 'ingress', port: 80, sourcePort: 4_711 },
  pool: { for: 'pool', secrets: KEY },
  signalling: { for: 'signalling', key: KEY },
  'peer-link': { for: 'peer-link', key: KEY },
};
const purposes: readonly Purpose[] = Object.values(PURPOSES);

const MESSAGES: { readonly [T in PeerMessage['type']]: readonly Extract<PeerMessage, { type: T }>[] } = {
  punch: purposes.flatMap((purpose) => [
    { type: 'punch', id: 1, address: '127.0.0.1', from: [10_241], purpose },
    { type: 'punch', id: 2, near: true, address: '127.0.0.1', from: [10_242], to: [10_243], purpose },
  ]),
  punching: [{ type: 'punching', id: 1, address: '127.0.0.1', ports: [10_244] }],
  unpunchable: [{ type: 'unpunchable', id: 1, reason: 'no', busy: true }],
  relay: purposes.map((purpose) => ({ type: 'relay', purpose, reason: 'no' })),
  probe: [{ type: 'probe' }],
  probing: [{ type: 'probing' }],
};
export const messages: readonly PeerMessage[] = Object.values(MESSAGES).flat();

const TO_SEED: Samples<ToSeed, 'type'> = {
  join: { type: 'join', ports: [], nat: NAT },
  locate: { type: 'locate', id: 1, host: 'api', port: 80 },
  watch: { type: 'watch', host: 'api', epoch: 1 },
  used: { type: 'used', host: 'api', epoch: 1 },
  data: { type: 'data', host: 'api', epoch: 1 },
  cancel: { type: 'cancel', id: 1 },
  ports: { type: 'ports', ports: [{ port: 80, realPort: 40_080, scope: 'any' }], settled: true },
  report: { type: 'report', event: 'guest-started', detail: { pid: 1 } },
  natReport: { type: 'natReport', nat: NAT },
  knock: { type: 'knock', port: 10_943, secret: `${'A'.repeat(43)}=` },
  peerMessage: { type: 'peerMessage', to: 'api', message: messages[0] },
  relay: { type: 'relay', id: 1, to: 'api', message: MESSAGES.relay.at(-1)! },
  relayRefused: { type: 'relayRefused', token: KEY, reason: 'no' },
  held: { type: 'held', by: 'cpu' },
  suspend: { type: 'suspend' },
  stay: { type: 'stay' },
  ack: { type: 'ack', host: 'api', version: 1 },
  leave: { type: 'leave', outcome: 'renew' },
  membership: { type: 'membership', id: 1, op: 'follow' },
  barrier: { type: 'barrier', id: 1, hosts: ['api'], timeout: 1 },
  leaveBarrier: { type: 'leaveBarrier', id: 1 },
  status: { type: 'status', id: 1 },
  edges: { type: 'edges', id: 1 },
  events: { type: 'events', id: 1, follow: false },
  command: { type: 'command', id: 1, host: 'api', command: 'stop' },
  reload: { type: 'reload', id: 1 },
  useService: { type: 'useService', service: 'web' },
  load: { type: 'load', connections: 3, cpu: 20 },
  chosen: { type: 'chosen', service: 'web', member: 'web-0', port: 80, why: 'the fewest connections' },
};
export const toSeed: readonly ToSeed[] = Object.values(TO_SEED);

const FROM_SEED: { readonly [T in FromSeed['type']]: Extract<FromSeed, { type: T }> } = {
  welcome: {
    type: 'welcome',
    cluster: 'test',
    cidr: '100.64.0.0/16',
    self: { name: 'web', address: '100.64.0.5', nodeId: 0, epoch: 3 },
    directoryDigest: 'digest',
    observed: '127.0.0.1',
    observedPort: 1,
    dataPort: 2,
    ports: [10_240, 704],
  },
  refuse: { type: 'refuse', reason: 'no' },
  located: { type: 'located', id: 1, location: LOCATION, realPort: 80 },
  unreachable: { type: 'unreachable', id: 1, errno: 'ECONNREFUSED', reason: 'no' },
  location: { type: 'location', version: 1, location: LOCATION },
  expected: { type: 'expected', host: 'api', epoch: 1 },
  clientGone: { type: 'clientGone', client: 'client-3' },
  peerMessage: { type: 'peerMessage', from: SENDER, message: messages[0] },
  undeliverable: { type: 'undeliverable', to: 'api', id: 1, reason: 'no' },
  relayReply: { type: 'relayReply', id: 1, token: KEY },
  relayed: { type: 'relayed', from: SENDER, token: KEY, message: MESSAGES.relay.at(-1)! },
  suspendReply: { type: 'suspendReply', ok: true },
  parked: { type: 'parked' },
  release: { type: 'release', reason: 'no' },
  stop: { type: 'stop', reason: 'no', fenced: false },
  secret: { type: 'secret', secret: 'text' },
  commandReply: { type: 'commandReply', id: 1, ok: true, state: 'imagined' },
  reloaded: { type: 'reloaded', id: 1, keys: [] },
  members: { type: 'members', id: 1, members: [], complete: true },
  barrierReply: { type: 'barrierReply', id: 1, met: true, present: 1 },
  statusReply: { type: 'statusReply', id: 1, status: { cluster: 'test', cidr: '', startedAt: 0, hosts: [] } },
  edgesReply: { type: 'edgesReply', id: 1, edges: [], more: false },
  event: { type: 'event', id: 1, event: { time: 0, host: null, event: 'x', detail: {} } },
  eventsEnd: { type: 'eventsEnd', id: 1 },
  service: {
    ...{ type: 'service', service: 'web', version: 1 },
    members: [{ state: 'running', connections: 3, cpu: 20, draining: true }],
  },
};
export const fromSeed: readonly FromSeed[] = Object.values(FROM_SEED);

const BAD: readonly unknown[] = [
  ...[undefined, null, true, 0, -1, 0.5, 1, 65_536, 2 ** 31, 2 ** 53, 'x', '', '1.2.3.4', '999.1.1.1'],
  ...['x'.repeat(3_000), [], [0], [null], {}, { type: 'punch' }, { for: 'pool' }, KEY],
];

type Dictionary = Record<string, unknown>;

/** Every kind with every other kind's payload. */
export function crossed<T extends object>(samples: readonly T[], kind: 'type' | 'for' = 'type'): T[] {
  return samples.flatMap((sample) =>
    samples.map((other) => ({ ...other, [kind]: (sample as Dictionary)[kind] }) as unknown as T),
  );
}

/** The sample with one field, at any depth, that is gone or is what it must not be. */
export function spoiled<T>(sample: T, random: (limit: number) => number): T {
  const copy = structuredClone(sample) as unknown;
  let at = copy as Dictionary;
  for (;;) {
    const names = Object.keys(at).filter((name) => at !== copy || name !== 'type');
    if (names.length === 0) return copy as T;
    const name = names[random(names.length)];
    const inner = at[name];
    if (typeof inner === 'object' && inner !== null && random(3) > 0) at = inner as Dictionary;
    else {
      if (random(4) === 0) delete at[name];
      else at[name] = BAD[random(BAD.length)];
      return copy as T;
    }
  }
}

/**
 * A guest's connect to another host, and one of another host to a guest, gone through once with hosts that nobody has. V8
 * gets a function ready when it is called first, and of a process' first connect that takes the greater part. So it is done
 * while nothing is waited for: in a client while its command starts, in a host while its guest waits for another host, or
 * when a guest listens and nobody has waited for that. Nothing of it leaves the process, and nothing is kept.
 */
import { setImmediate as turn } from 'node:timers/promises';
import { encodeFrame } from '../../../contract/control/frame-codec';
import { checkFromSeed, type FromSeed } from '../../../contract/control/from-seed';
import type { Location } from '../../../contract/control/location';
import { parseAddress } from '../../../contract/manifest/address';
import type { NatReport, PeerMessage, Sender } from '../../../contract/peer/peer-messages';
import { Locates } from '../../control/locates';
import { createDirect } from '../../transport/direct/direct';
import { Incoming } from '../../transport/incoming';
import { portSequence } from '../../transport/punched/ports';
import { Puncher } from '../../transport/punched/punch';
import { PunchPorts } from '../../transport/punched/punch-ports';
import { Punched } from '../../transport/punched/punched';
import { connectBy, type Transport } from '../../transport/transport';
import { Services } from '../services/services';
import { GuestConnects, type Outcome } from './guest-connects';
import { createListeners } from './listeners';
import { type Locations, openLocations } from './locations';
import { Locator } from './locator';

const SELF = { name: 'a', address: '192.0.2.1', nodeId: 0, aliases: [] };
const OTHER = { name: 'b', address: '192.0.2.2', nodeId: 1, aliases: [] };
const DIRECTORY = [SELF, OTHER];
const PORT = 7_000;
/** Milliseconds, of each connect. */
const LIMIT = 1_000;
const PUNCH_PORTS: NatReport['ports'] = [10_240, 1_000];

/** A NAT at one of the addresses for documentation (RFC 5737). */
const behind = (reflexiveAddress: string): NatReport => ({
  kind: 'port-preserving',
  reflexiveAddress,
  localAddress: '169.254.0.1',
  ports: PUNCH_PORTS,
});
const MINE = behind('203.0.113.1');
const THEIRS = behind('203.0.113.2');
const LOCATION: Location = {
  host: OTHER.name,
  epoch: 1,
  state: 'running',
  ports: [{ port: PORT, realPort: PORT, scope: 'any' }],
  nat: { ...THEIRS, kind: 'unknown' },
};

export const LOCATED: FromSeed = { type: 'located', id: 1, location: LOCATION, realPort: PORT };

const SENDER: Sender = {
  member: 2,
  name: OTHER.name,
  address: OTHER.address,
  epoch: 1,
  addresses: [THEIRS.reflexiveAddress],
};
const PUNCH: PeerMessage = {
  ...{
    type: 'punch',
    id: 1,
    address: THEIRS.reflexiveAddress,
    from: [PUNCH_PORTS[0]],
    to: [PUNCH_PORTS[0]],
    guess: true,
  },
  purpose: { for: 'connection', port: PORT, sourcePort: 1, proof: Buffer.alloc(32).toString('base64') },
};
export const ASKED: FromSeed = { type: 'peerMessage', from: SENDER, message: PUNCH };

const { signal } = new AbortController();
const connector = { open: async () => 0, fill: async () => 0 };
const punchPorts = () =>
  new PunchPorts(() => {
    throw new Error('no port of a rehearsal is probed');
  });

/**
 * A connect of a guest's. In several turns: what comes meanwhile waits for one of them at most.
 * @returns what the guest is answered
 */
export async function rehearseConnect(flat: number | undefined): Promise<Outcome> {
  checkFromSeed(LOCATED);
  await turn();
  const locations = openLocations(
    {
      cluster: 'c',
      cidr: '192.0.2.0/24',
      self: SELF,
      directory: DIRECTORY,
      aliases: flat ?? 0,
      handoff: flat === undefined,
    },
    { map: (size) => new ArrayBuffer(size) },
  );
  await turn();
  const connects = connectsWith(locations, [createDirect(flat), punched()]);
  const guest = { pid: 0, nonBlocking: false, cookie: 1n, sourcePort: 0, epoch: 0 };
  try {
    return await connects.connect({ op: 'connect', ...guest, address: parseAddress(OTHER.address)!, port: PORT }, -1);
  } finally {
    connects.close();
  }
}

/** One of another host's: its request, and what is done about it. @returns what it is answered, if anything */
export async function rehearseRequest(): Promise<readonly PeerMessage[]> {
  checkFromSeed(ASKED);
  await turn();
  const answers: PeerMessage[] = [];
  const ended = new Promise<void>((resolve, reject) => {
    const incoming = new Incoming({
      guard: (_what, act) => void Promise.resolve(act()).then(() => resolve(), reject),
      ownNat: { joined: true },
      puncher: { answered: () => undefined },
      onRefused: () => undefined,
      respond: {
        ...{ connector, punchPorts: punchPorts(), natReport: async () => MINE, signal },
        toSupervisor: () => undefined,
      },
      relayed: { relayed: async () => undefined },
      addressesOf: () => [],
      onStaleLink: () => undefined,
      onEvent: (event, detail) => void encodeFrame({ type: 'event', ...{ event, detail } }),
    });
    incoming.message(SENDER, PUNCH, (answer) => void answers.push(answer));
  });
  await ended;
  return answers;
}

function connectsWith(locations: Locations, transports: readonly Transport[]): GuestConnects {
  const locates = new Locates((frame) => void encodeFrame(frame));
  const locator = new Locator();
  locator.use({
    locate: (host, port, options) => {
      const located = locates.add(host, port, options);
      setImmediate(() => locates.settle(1, { location: LOCATION, realPort: PORT }));
      return located;
    },
  });
  const nothing = () => undefined;
  const listeners = { settleTime: 0, onChange: nothing, onListening: nothing, sockets: () => [] };
  const services = {
    directory: DIRECTORY,
    self: 0,
    session: nothing,
    open: () => new Map(),
    onChange: nothing,
    onUsed: nothing,
  };
  return new GuestConnects({
    ...{
      locations,
      locator,
      expected: { used: nothing },
      services: new Services(services),
      listeners: createListeners(listeners),
    },
    connect: (guest) => connectBy(transports, guest),
    limitOf: () => LIMIT,
    resolver: { open: async () => false },
    asClient: true,
    log: nothing,
  });
}

function punched(): Punched {
  const puncher = new Puncher({
    punchPorts: punchPorts(),
    natReport: async () => MINE,
    natNow: () => MINE,
    send: (to, message) => void encodeFrame({ type: 'peerMessage', ...{ to: to.host, message } }),
  });
  return new Punched({ connector, puncher, guestPort: portSequence([1, 1]), signal });
}

/**
 * Two members of a cluster in one process, each with a real connector, that agree on connections and make them over
 * this machine's loopback interface: as two that are behind one address. What the seed does for them, passing messages
 * on, is done here.
 */
import { setMaxListeners } from 'node:events';
import { readdirSync, readlinkSync } from 'node:fs';
import { parseAddress } from '../../../src/contract/manifest/address';
import type { NatReport, PeerMessage, Sender } from '../../../src/contract/peer/peer-messages';
import { loadNative } from '../../../src/native/addon/load';
import { Connector } from '../../../src/runtime/transport/connector';
import type { PeerMember } from '../../../src/runtime/transport/peer-member';
import { type PunchAnswer, Puncher } from '../../../src/runtime/transport/punched/punch';
import { PunchPorts } from '../../../src/runtime/transport/punched/punch-ports';
import { respond } from '../../../src/runtime/transport/punched/respond';

export const native = loadNative();

export interface TestMember {
  readonly sender: Sender;
  /** As the other one sees it. */
  readonly asPeer: PeerMember;
  nat: NatReport;
  readonly connector: Connector;
  readonly punchPorts: PunchPorts;
  readonly puncher: Puncher;
  /** Messages that it got. */
  readonly got: PeerMessage[];
  /** What becomes of a message on its way to it; default: it arrives. */
  receive: (message: PeerMessage, reply: (message: PeerMessage) => void) => void;
  /** The peers of the pool's connections that were lost. */
  readonly lost: number[];
  /** A connection for its peer link. */
  toSupervisor: (from: Sender, key: string, descriptor: number) => void;
}

export interface Pair {
  readonly web: TestMember;
  readonly api: TestMember;
  close(): void;
}

/** @param number of the test file: tests that run at the same time use different addresses */
export function twoMembers(number: number): Pair {
  const closing = new AbortController();
  setMaxListeners(0, closing.signal);
  const address = `127.65.${number}.1`;
  const make = (name: string, index: number, peer: () => TestMember): TestMember => {
    const virtual = `100.64.0.${index}`;
    const nat: NatReport = {
      kind: 'none',
      reflexiveAddress: address,
      localAddress: address,
      ports: [20_000 + 1_000 * index, 500],
    };
    const lost: number[] = [];
    const connector = new Connector({
      native,
      aliasBase: parseAddress(`127.66.${number}.0`)!,
      onUsed: () => undefined,
      onLost: (peer) => void lost.push(peer),
      onSilent: () => undefined,
      onSignallingEnded: () => undefined,
      onMissed: () => undefined,
      onRefused: () => undefined,
    });
    const punchPorts = new PunchPorts(() => {
      throw new Error('no port of this member is to be probed');
    });
    const sender: Sender = { member: index, name, address: virtual, epoch: 7, addresses: [address] };
    const send = (message: PeerMessage) => {
      const to = peer();
      queueMicrotask(() =>
        to.receive(message, (answer) =>
          queueMicrotask(() => member.puncher.answered(to.sender.name, answer as PunchAnswer)),
        ),
      );
    };
    const member: TestMember = {
      sender,
      nat,
      get asPeer() {
        return { host: name, address: parseAddress(virtual)!, epoch: 7, nat: member.nat };
      },
      connector,
      punchPorts,
      puncher: new Puncher({
        punchPorts,
        send: (_to, message) => send(message),
        natReport: async () => member.nat,
        natNow: () => member.nat,
      }),
      got: [],
      lost,
      toSupervisor: () => undefined,
      receive: (message, reply) => {
        member.got.push(message);
        if (message.type !== 'punch') return;
        const { signal } = closing;
        const options = {
          connector,
          punchPorts,
          signal,
          natReport: async () => member.nat,
          toSupervisor: (from: Sender, key: string, descriptor: number) => member.toSupervisor(from, key, descriptor),
        };
        void respond(options, peer().sender, message, reply);
      },
    };
    return member;
  };
  const web: TestMember = make('web', 1, () => api);
  const api: TestMember = make('api', 2, () => web);
  return {
    web,
    api,
    close: () => {
      closing.abort();
      web.connector.close();
      api.connector.close();
    },
  };
}

/** Sockets that this process has open, each by its own name. */
export function openSockets(): Set<string> {
  const sockets = new Set<string>();
  for (const fd of readdirSync('/proc/self/fd')) {
    try {
      const name = readlinkSync(`/proc/self/fd/${fd}`);
      if (name.startsWith('socket:')) sockets.add(name);
    } catch {
      // closed meanwhile
    }
  }
  return sockets;
}

/** Sockets of this process that were not there then. What else is open comes and goes with the test runner. */
export const socketsSince = (then: ReadonlySet<string>): number =>
  [...openSockets()].filter((socket) => !then.has(socket)).length;

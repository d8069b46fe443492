/**
 * Direct edges of the control network: members that talk to each other agree on connections without the seed in between. An
 * edge is a punched connection with TLS, by a key that both have from the seed; what comes over it is from the member that the
 * seed vouched for then.
 */
import { randomBytes } from 'node:crypto';
import type { Socket } from 'node:net';
import { connect as connectTls, TLSSocket } from 'node:tls';
import { checkMessage, type MemberMessage, type Sender } from '../../../contract/peer/peer-messages';
import { type Channel, openChannel } from '../../control/channel';
import type { Guard } from '../../control/guard';
import { pskOptions } from '../../control/tls-options';
import { createHanded } from './handed';

export interface EdgesOptions {
  readonly guard: Guard;
  /** A message from the other side of an edge. */
  readonly onMessage: (from: Sender, message: MemberMessage, reply: (message: MemberMessage) => void) => void;
  /** Milliseconds in which the other side of a connection must prove itself. Default 5,000. */
  readonly proofLimit?: number;
}

export interface Edges {
  /** False: there is no edge to this epoch of that host; it may be on its way. */
  tell(host: string, epoch: number, message: MemberMessage): boolean;
  /** Makes one, unless there is one. `punch`: a connection for an edge with this key; resolves with its descriptor. */
  open(other: Sender, punch: (key: string) => Promise<number>): void;
  /** The other side of `open`, with the connection that it punched. */
  accept(other: Sender, key: string, descriptor: number): void;
  drop(host: string): void;
  clear(): void;
}

/** On its way while it has no channel. */
interface Edge {
  readonly epoch: number;
  channel?: Channel<MemberMessage>;
}

/** Quiet connections are kept alive below what NATs forget. */
const HEARTBEAT = 20_000;
const IDENTITY = 'edge';

export function createEdges(options: EdgesOptions): Edges {
  const edges = new Map<string, Edge>();
  /** Every connection of an edge, also before its other side has proved itself. */
  const handed = createHanded<string>(options.proofLimit);

  const serve = (other: Sender, socket: TLSSocket, raw: Socket) => {
    handed.proved(raw);
    socket.setNoDelay(true);
    const channel = openChannel<{ type: string }, MemberMessage>(socket, {
      heartbeat: HEARTBEAT,
      onFrame: (frame) => {
        const message = checkMessage(frame);
        if (!message) return channel.destroy();
        const handle = () => options.onMessage(other, message, (answer) => void channel.send(answer));
        options.guard('a message over a direct edge', handle, channel.destroy);
      },
      onClose: () => {
        if (edges.get(other.name)?.channel === channel) edges.delete(other.name);
      },
    });
    // Two that meet in the middle serve both; the last one is used.
    if (other.epoch > 0) edges.set(other.name, { epoch: other.epoch, channel });
  };

  const drop = (host: string) => {
    const edge = edges.get(host);
    edges.delete(host);
    edge?.channel?.destroy();
  };

  return {
    tell: (host, epoch, message) => {
      const edge = edges.get(host);
      return edge?.epoch === epoch && edge.channel?.send(message) === true;
    },
    open: (other, punch) => {
      if (edges.get(other.name)?.epoch === other.epoch) return;
      drop(other.name);
      const mine: Edge = { epoch: other.epoch };
      edges.set(other.name, mine);
      const forget = () => {
        if (edges.get(other.name) === mine) edges.delete(other.name);
      };
      const key = randomBytes(32);
      punch(key.toString('base64'))
        .then((descriptor) => {
          const raw = handed.take(other.name, descriptor);
          if (edges.get(other.name) !== mine) return void raw.destroy();
          const pskCallback = () => ({ psk: key, identity: IDENTITY });
          const socket = connectTls({
            ...pskOptions(),
            socket: raw,
            pskCallback,
            checkServerIdentity: () => undefined,
          });
          socket.on('error', forget);
          socket.once('close', forget);
          socket.once('secureConnect', () =>
            options.guard(
              'a direct edge',
              () => serve(other, socket, raw),
              () => raw.destroy(),
            ),
          );
        })
        .catch(forget);
    },
    accept: (other, key, descriptor) => {
      const raw = handed.take(other.name, descriptor);
      const end = () => raw.destroy();
      const psk = Buffer.from(key, 'base64');
      const pskCallback = (_socket: unknown, identity: string) => (identity === IDENTITY ? psk : null);
      // node:tls has it for a server's own sockets; the types know it for its servers only.
      const settings = { ...pskOptions(), isServer: true, pskCallback };
      const begin = () => {
        const socket = new TLSSocket(raw, settings);
        socket.on('error', () => socket.destroy());
        socket.once('secure', () => options.guard('a direct edge', () => serve(other, socket, raw), end));
      };
      options.guard('a direct edge', begin, end);
    },
    drop,
    clear: () => {
      edges.clear();
      handed.clear();
    },
  };
}

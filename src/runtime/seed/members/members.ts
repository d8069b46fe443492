import { randomInt } from 'node:crypto';
import type { MemberMessage, Recipient, Sender } from '../../../contract/peer/peer-messages';
import type { Directory } from '../locate/directory';
import { type Host, type Peer, sessionOf } from '../machine/host';
import { allowance } from './allowance';

/**
 * Who has joined, by number, and messages from one to another. The seed vouches for who sent them, not for what they say.
 */
export interface Members {
  readonly size: number;
  all(): Iterable<Peer>;
  /** A member's number and what others are told of it. */
  introduce(who: Omit<Sender, 'member'>): Sender;
  add(peer: Peer): void;
  remove(peer: Peer): void;
  /** Passes a message on, or says that it cannot. */
  pass(from: Peer, to: Recipient, message: MemberMessage): void;
  /** Who is meant, if it is there and `from` may send it something now; or why not. */
  find(from: Peer, to: Recipient): Peer | string;
}

/** Messages that a member may send at once, and each second. */
const BURST = 8_192;
const RATE = 4_096;

export function members(directory: Directory, hosts: ReadonlyMap<string, Host>): Members {
  const byNumber = new Map<number, Peer>();
  const allowances = new WeakMap<Peer, () => boolean>();
  // A number that an earlier seed gave out names nobody.
  let next = randomInt(2 ** 47);

  const find: Members['find'] = (from, to) => {
    if (!allowances.get(from)?.()) return `more than ${RATE} messages a second`;
    if (typeof to === 'number') return byNumber.get(to) ?? `member ${to} is not there any more`;
    const found = directory.find(to);
    const host = found && hosts.get(found.host.name);
    if (!host) return `there is no host '${to}' in the cluster`;
    const session = sessionOf(host);
    if (session) return session.peer ?? `the connection to '${to}' is lost`;
    return `'${to}' is ${host.phase.state}`;
  };

  return {
    get size() {
      return byNumber.size;
    },
    all: () => byNumber.values(),
    introduce: (who) => ({ member: next++, ...who }),
    add: (peer) => {
      byNumber.set(peer.sender.member, peer);
      allowances.set(peer, allowance(BURST, RATE));
    },
    remove: (peer) => void byNumber.delete(peer.sender.member),
    pass: (from, to, message) => {
      const found = misplaced(from, message) ?? find(from, to);
      const told = { type: 'peerMessage', from: from.sender, message } as const;
      const reason = typeof found === 'string' ? found : found.inbox.pass(from, told);
      if (reason === undefined) return;
      const id = 'id' in message ? message.id : undefined;
      from.channel.send({ type: 'undeliverable', to, id, reason });
    },
    find,
  };
}

/** Why nobody is to be asked to meet the sender there: it names an address that is not its own, or ports of others beside it. */
function misplaced({ sender, ports: [first, many], channel }: Peer, message: MemberMessage): string | undefined {
  if (!('address' in message)) return undefined;
  const { address } = message;
  if (!sender.addresses.includes(address)) {
    return `${address} is not an address of '${sender.name}'; allowed: ${sender.addresses.join(', ')}`;
  }
  const ports = message.type === 'punch' ? message.from : message.ports;
  const stray = ports.find((port) => port < first || port >= first + many);
  // On the internet its NAT may have given it others.
  if (address === channel.peer || stray === undefined) return undefined;
  return `port ${stray} at ${address} is not a port of '${sender.name}'; allowed: ${first} to ${first + many - 1}`;
}

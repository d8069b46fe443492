/** The other side of a punch: connects from the ports that were agreed on, for the purpose that the request names. */
import { constants } from 'node:os';
import { parseAddress } from '../../../contract/manifest/address';
import type { NatReport, PeerMessage, Sender } from '../../../contract/peer/peer-messages';
import { type Connector, OpeningError } from '../connector';
import { isPredictable, isReached } from '../nat/nat';
import { ownProblem, PUNCH_LIMIT, proofs } from './punch';
import { isTaken, type PunchPorts, unmeetable } from './punch-ports';
import { pairsOf } from './punched';
import { POOL_TTL_PASSIVE, signallingTerms } from './terms';

export interface RespondOptions {
  readonly connector: Pick<Connector, 'open' | 'fill'>;
  readonly punchPorts: PunchPorts;
  /** This member's own; waits until it is known. */
  readonly natReport: () => Promise<NatReport>;
  /** A connection for the peer link with this key. */
  readonly toSupervisor: (from: Sender, key: string, descriptor: number) => void;
  readonly signal: AbortSignal;
}

export type Punch = Extract<PeerMessage, { type: 'punch' }>;

/** Why a member gets no further connection for the moment. */
export const SHARE_USED = 'this member has its share of connections there; those before have to be accepted first';

/** Bytes of them for each connection of a pool. */
const SECRETS = 32;

function swappedProofs(proof: string) {
  const { send, expect } = proofs(Buffer.from(proof, 'base64'));
  return { send: expect, expect: send };
}

/** In pairs, the other side's first: with ours first. */
function swapped(secrets: Buffer): Buffer {
  const result = Buffer.alloc(secrets.length);
  for (let at = 0; at < secrets.length; at += SECRETS) {
    secrets.copy(result, at, at + SECRETS / 2, at + SECRETS);
    secrets.copy(result, at + SECRETS / 2, at, at + SECRETS / 2);
  }
  return result;
}

/** Why others cannot simply connect to this member. */
function unreached(mine: NatReport): string | undefined {
  return isReached(mine) ? undefined : 'it has no address that everybody reaches';
}

export async function respond(
  options: RespondOptions,
  from: Sender,
  message: Punch,
  reply: (message: PeerMessage) => void,
): Promise<void> {
  const { connector, punchPorts, signal } = options;
  const { id, purpose } = message;
  const cannot = (reason: string) => reply({ type: 'unpunchable', id, reason });
  const busy = (reason = 'a port is in use') => reply({ type: 'unpunchable', id, reason, busy: true });
  const mine = await options.natReport();
  const near = message.near === true;
  const direct = message.direct === true;
  const problem = near ? unmeetable(mine) : direct ? unreached(mine) : ownProblem(mine);
  if (problem) return cannot(problem);
  const count = message.from.length;
  if (purpose.for === 'ingress') return cannot('a client from outside comes through the seed');
  const secrets = purpose.for === 'pool' ? swapped(Buffer.from(purpose.secrets, 'base64')) : undefined;
  if (secrets ? secrets.length !== SECRETS * count : count !== 1) return cannot(`${count} ports are not for this`);
  const [first, many] = mine.ports;
  const isOurs = (port: number) => port >= first && port < first + many;
  const isRight = (to: readonly number[]) => (near || isPredictable(mine)) && to.length === count && to.every(isOurs);
  const named = message.to && isRight(message.to) ? message.to : undefined;
  if (message.to && !named && !message.guess) return cannot('these are not its ports');
  const ports = named ?? message.from.map(() => punchPorts.pairedPort(mine, `from ${from.name}`));
  const opened = await punchPorts.open(mine, near, ports, signal).catch((error: Error) => {
    if (!isTaken(error)) throw error;
    return undefined;
  });
  if (!opened) return busy();
  if (!named)
    reply({
      type: 'punching',
      id,
      address: near ? mine.localAddress : mine.reflexiveAddress,
      ports: opened.map(({ seen }) => seen),
    });
  const base = {
    peer: parseAddress(from.address)!,
    epoch: from.epoch,
    local: parseAddress(mine.localAddress)!,
    remote: parseAddress(message.address)!,
    timeout: PUNCH_LIMIT,
    listens: near || direct,
  };
  // Any port: its NAT chooses them.
  const theirs = direct ? message.from.map(() => 0) : message.from;
  const pair = { localPort: ports[0], remotePort: theirs[0] };
  try {
    switch (purpose.for) {
      case 'pool': {
        const filling = { ...base, purpose: 'poolIn', ttl: POOL_TTL_PASSIVE } as const;
        await connector.fill(filling, pairsOf(ports, theirs), secrets!, signal);
        return;
      }
      case 'signalling': {
        const terms = signallingTerms('in', purpose.key, mine, mine);
        await connector.open({ ...base, ...pair, ...terms, purpose: 'signallingIn' }, signal);
        return;
      }
      case 'connection': {
        const { port, sourcePort, proof } = purpose;
        const secret = proof && swappedProofs(proof);
        const delivery = { ...base, ...pair, purpose: 'deliver', port, sourcePort } as const;
        if (!direct) {
          await connector.open({ ...delivery, ...secret }, signal);
          return;
        }
        // Where a public address leads to is certain, and that it waits there is its proof: it arrives a round trip
        // earlier than what is said over the connection.
        const opening = connector.open({ ...delivery, expect: secret ? secret.expect : undefined }, signal);
        await Promise.race([opening, undefined]);
        reply({ type: 'punching', id, address: mine.reflexiveAddress, ports });
        await opening;
        return;
      }
      case 'peer-link':
        return options.toSupervisor(
          from,
          purpose.key,
          await connector.open({ ...base, ...pair, purpose: 'hand' }, signal),
        );
      default:
        purpose satisfies never;
    }
  } catch (error) {
    if (!(error instanceof OpeningError)) throw error;
    if (error.errno === constants.errno.EDQUOT) busy(SHARE_USED);
    else if (error.busy) busy();
  } finally {
    for (const port of opened) port.close();
  }
}

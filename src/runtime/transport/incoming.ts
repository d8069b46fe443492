/**
 * Messages of other members: requests for connections that are punched or relayed to this one, and answers to its own
 * requests.
 */
import type { ReportedEvent } from '../../contract/control/to-seed';
import type { PeerMessage, Sender } from '../../contract/peer/peer-messages';
import type { Guard } from '../control/guard';
import type { OwnNat } from './own-nat';
import type { Puncher } from './punched/punch';
import { Requests } from './punched/requests';
import { type Punch, type RespondOptions, respond, SHARE_USED } from './punched/respond';
import type { Relayed } from './relayed/relayed';

export type OnEvent = (event: ReportedEvent, detail: Readonly<Record<string, string | number>>) => void;

export interface IncomingOptions {
  readonly guard: Guard;
  readonly ownNat: Pick<OwnNat, 'joined'>;
  readonly puncher: Pick<Puncher, 'answered'>;
  readonly respond: RespondOptions;
  readonly relayed: Pick<Relayed, 'relayed'>;
  /** Real addresses of that member, beside those that the seed named with its message. */
  readonly addressesOf: (member: Sender) => readonly string[];
  /** This member will not come for the relayed connection with that token. */
  readonly onRefused: (token: string, reason: string) => void;
  /** A peer link has outdated addresses of that member: the next message goes through the seed. */
  readonly onStaleLink: (from: Sender) => void;
  readonly onEvent: OnEvent;
}

/** Members whose transport is remembered. */
const MOST_MEMBERS = 1_000;

export class Incoming {
  readonly #requests = new Requests();
  /** How each member's connections came last, so that only changes are reported. */
  readonly #transports = new Map<string, string>();

  constructor(private readonly options: IncomingOptions) {}

  message(from: Sender, message: PeerMessage, reply: (message: PeerMessage) => void) {
    const { puncher, onStaleLink } = this.options;
    if ('address' in message && !this.#isAt(from, message.address)) {
      const reason = `${message.address} is not an address of '${from.name}'; allowed: ${from.addresses.join(', ')}`;
      const answer = { type: 'unpunchable', id: message.id, reason } as const;
      if (message.type === 'punch') reply(answer);
      else puncher.answered(from.name, answer);
      return onStaleLink(from);
    }
    switch (message.type) {
      case 'punch':
        return this.#punch(from, message, reply);
      case 'punching':
      case 'unpunchable':
        return puncher.answered(from.name, message);
      case 'relay':
        return; // a request for a relayed connection comes with a token: see `relay`
      case 'probe':
      case 'probing':
        return; // through the seed they come to the supervisor itself, and otherwise they do not
      default:
        message satisfies never;
    }
  }

  /** A connection through the seed, with this side's token for it. */
  async relay(from: Sender, token: string, message: PeerMessage): Promise<void> {
    const { ownNat, relayed, onEvent, onRefused } = this.options;
    if (message.type !== 'relay') return;
    const refuse = (reason: string) => {
      onRefused(token, reason);
      onEvent('relay-failed', { from: from.name, reason });
    };
    if (!ownNat.joined) return refuse('this member carries no connections');
    const end = this.#requests.begin(from.name, 1);
    if (!end) return refuse(SHARE_USED);
    try {
      this.#report(from, 'relayed', message.reason);
      const problem = await relayed.relayed(from, token, message.purpose);
      if (problem !== undefined) onRefused(token, problem);
    } finally {
      end();
    }
  }

  #isAt(from: Sender, address: string): boolean {
    return from.addresses.includes(address) || this.options.addressesOf(from).includes(address);
  }

  #punch(from: Sender, message: Punch, reply: (message: PeerMessage) => void) {
    const { guard, respond: options } = this.options;
    const { id, purpose } = message;
    const end = this.#requests.begin(from.name, message.from.length);
    if (!end) return reply({ type: 'unpunchable', id, reason: SHARE_USED, busy: true });
    guard('a request of another member for a connection', async () => {
      try {
        if (purpose.for === 'connection') this.#report(from, message.direct ? 'direct' : 'punched');
        await respond(options, from, message, reply);
      } catch (error) {
        if (!options.signal.aborted) reply({ type: 'unpunchable', id, reason: (error as Error).message });
      } finally {
        end();
      }
    });
  }

  /** An operator sees at the destination how its connections come: no other end always has a log. */
  #report({ name }: Sender, by: 'direct' | 'punched' | 'relayed', reason = ''): void {
    const transports = this.#transports;
    const transport = `${by} ${reason}`;
    if (transports.get(name) === transport) return;
    transports.delete(name);
    transports.set(name, transport);
    if (transports.size > MOST_MEMBERS) transports.delete(transports.keys().next().value!);
    this.options.onEvent('transport-chosen', { from: name, by, ...(reason ? { reason } : {}) });
  }
}

import type { AnyFrame } from '../../../contract/control/frame-codec';
import type { FromSeed } from '../../../contract/control/from-seed';
import type { Identity } from '../../../contract/control/psk';
import { checkToSeed, type ToSeed } from '../../../contract/control/to-seed';
import type { Channel, ChannelEnd } from '../../control/channel';
import type { PeerHandlers } from '../../control/server';
import type { Machine } from '../machine/interpreter';
import { isToReturn } from '../machine/state';
import { isOfOperators, type OperatorFrame } from '../operators/operator-api';
import { join } from './admission';
import { type Frame, type Joined, Member } from './member';
import type { Shared } from './shared';

/**
 * What a connection is: `new` until its `join`, and `waits` until that is answered. `parked`: that of a host that has
 * left, until it joins again.
 */
type Role =
  | { readonly is: 'new' }
  | { readonly is: 'waits' }
  | { readonly is: 'parked'; readonly host: string }
  | { readonly is: 'joined'; readonly member: Member }
  | { readonly is: 'gone' };

const JOIN_LIMIT = 10_000;

/** One control connection, from its `join` to its end. */
export class Connection implements PeerHandlers {
  readonly #shared: Shared;
  readonly #identity: Identity;
  readonly #channel: Channel<FromSeed>;
  readonly #joinTimer: NodeJS.Timeout | undefined;
  /** Of an operator's connection: what it follows ends with it. */
  #closing: AbortController | undefined;
  #role: Role = { is: 'new' };

  constructor(shared: Shared, identity: Identity, channel: Channel<FromSeed>) {
    this.#shared = shared;
    this.#identity = identity;
    this.#channel = channel;
    if (identity.kind === 'operator') return;
    this.#joinTimer = setTimeout(() => this.#refuse(`did not join within ${JOIN_LIMIT} ms`), JOIN_LIMIT);
  }

  readonly onFrame = (raw: AnyFrame): void => {
    const checked = checkToSeed(raw);
    if ('problem' in checked) this.#refuse(checked.problem);
    else this.#dispatch(checked.frame);
  };

  /** An answer to a client from outside: hosts have some to send. */
  readonly onBytes = (bytes: Buffer): void => {
    const role = this.#role;
    if (role.is === 'gone') return;
    if (role.is === 'joined' && role.member.host) this.#shared.answered(role.member.peer, bytes);
    else this.#refuse('only hosts send binary frames');
  };

  readonly onClose = ({ error }: ChannelEnd): void => {
    clearTimeout(this.#joinTimer);
    this.#closing?.abort();
    if (error) this.#shared.log('warn', `lost ${this.#claimed} at ${this.#channel.peer}: ${error.message}`);
    const role = this.#role;
    this.#role = { is: 'gone' };
    if (role.is === 'parked') this.#shared.parked.remove(role.host, this.#channel);
    if (role.is === 'joined') role.member.end(error?.message ?? 'closed');
  };

  get #claimed(): string {
    return this.#identity.kind === 'host' ? `host '${this.#identity.host}'` : `the ${this.#identity.kind}`;
  }

  #refuse(reason: string, fenced?: boolean): void {
    this.#shared.log('warn', `refused ${this.#claimed} at ${this.#channel.peer}: ${reason}`);
    this.#channel.send({ type: 'refuse', reason, fenced });
    void this.#channel.end();
  }

  #dispatch(frame: ToSeed) {
    const role = this.#role;
    if (isOfOperators(frame)) return this.#serve(frame);
    if (role.is === 'gone') return;
    if (role.is === 'waits') return this.#refuse(`'${frame.type}' came before the answer to 'join'`);
    if (frame.type === 'join') return role.is === 'joined' ? this.#refuse('has joined already') : this.#join(frame);
    if (role.is === 'joined') role.member.onFrame(frame);
    else this.#refuse(`'${frame.type}' came before 'join'`);
  }

  #serve(frame: OperatorFrame) {
    if (this.#identity.kind !== 'operator') return this.#refuse(`'${frame.type}' is for operators`);
    this.#closing ??= new AbortController();
    this.#shared.operator.serve(this.#channel, frame, this.#closing.signal);
  }

  #join(frame: Frame<'join'>): void {
    clearTimeout(this.#joinTimer);
    if (this.#role.is === 'parked') {
      this.#shared.parked.remove(this.#role.host, this.#channel);
      this.#role = { is: 'new' };
      this.#channel.beat();
    }
    const joiner = {
      shared: this.#shared,
      identity: this.#identity,
      channel: this.#channel,
      refuse: (reason: string, fenced?: boolean) => this.#refuse(reason, fenced),
      afterGrace: (act: () => void) => this.#afterGrace(act),
      entered: (as: Joined) => this.#entered(as),
    };
    join(joiner, frame);
  }

  #afterGrace(act: () => void): void {
    this.#role = { is: 'waits' };
    this.#shared.afterGrace(() => {
      if (this.#role.is !== 'waits' || !this.#channel.open) return;
      this.#role = { is: 'new' };
      act();
    });
  }

  #entered(as: Joined): void {
    const member = new Member(this.#shared, as, {
      channel: this.#channel,
      refuse: (reason) => this.#refuse(reason),
      park: (host) => this.#park(member, host),
    });
    this.#role = { is: 'joined', member };
  }

  /** Of a host that would keep the connection. Where it is not to come back, the connection ends here. */
  #park(member: Member, host: Machine): void {
    const channel = this.#channel;
    if (!channel.open) return;
    const { name } = host.entry;
    this.#role = { is: 'parked', host: name };
    member.end('parked');
    if (!isToReturn(host.state)) return void channel.end();
    this.#shared.parked.add(name, channel);
    channel.send({ type: 'parked' });
    // From here on nothing is sent: a machine that stands still acknowledges nothing.
    channel.rest();
  }
}

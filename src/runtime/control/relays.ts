/** What a member has asked of the seed's data port, and is not answered yet. */
import type { FromSeed } from '../../contract/control/from-seed';
import type { ToSeed } from '../../contract/control/to-seed';
import type { PeerMessage, Recipient } from '../../contract/peer/peer-messages';
import { LocateError } from './locates';
import type { FrameOf } from './session-options';

interface Asked {
  resolve(token: string): void;
  reject(error: LocateError): void;
}

export class Relays {
  readonly #send: (frame: FrameOf<ToSeed, 'relay'>) => boolean;
  readonly #asked = new Map<number, Asked>();
  #last = 0;

  /** @param send false: there is no connection to the seed */
  constructor(send: (frame: FrameOf<ToSeed, 'relay'>) => boolean) {
    this.#send = send;
  }

  ask(to: Recipient, message: PeerMessage): Promise<string> {
    return new Promise((resolve, reject) => {
      const id = ++this.#last;
      if (this.#send({ type: 'relay', id, to, message })) this.#asked.set(id, { resolve, reject });
      else reject(new LocateError('ENETUNREACH', 'there is no connection to the seed'));
    });
  }

  settle(reply: FrameOf<FromSeed, 'relayReply'>): void {
    const asked = this.#asked.get(reply.id);
    this.#asked.delete(reply.id);
    if ('token' in reply) asked?.resolve(reply.token);
    else asked?.reject(new LocateError('EHOSTUNREACH', reply.reason));
  }

  /** The connection that they were sent over is lost. */
  fail(reason: string): void {
    for (const asked of this.#asked.values()) asked.reject(new LocateError('ENETUNREACH', reason));
    this.#asked.clear();
  }
}

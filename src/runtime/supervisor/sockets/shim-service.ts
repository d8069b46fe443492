/** Answers the requests of this host's shims. */
import { BadRequestError, decodeRequest, encodeReply, type ShimRequest } from '../../../contract/abi/shim';
import type { NativeAddon, NativeConnector, ShimSocket } from '../../../native/addon';
import type { Guard } from '../../control/guard';
import type { Datagrams } from '../datagrams/datagrams';
import { GuestConnects, type GuestConnectsOptions, type Outcome } from './guest-connects';

export interface ShimServiceOptions extends GuestConnectsOptions {
  readonly native: Pick<NativeAddon, 'openShimSocket' | 'reply' | 'closeDescriptor'>;
  /** Path of the Unix socket. */
  readonly path: string;
  readonly datagrams: Pick<Datagrams, 'send'>;
  /** Answers what it can before this service sees it. */
  readonly connector?: NativeConnector;
  /** Stands for an address that is not bound to any: where this host reaches itself. */
  readonly ownReal: number;
  readonly guard: Guard;
}

const ECONNABORTED = 103;

export class ShimService {
  readonly #options: ShimServiceOptions;
  readonly #connects: GuestConnects;
  readonly #socket: ShimSocket;
  #complained = false;

  constructor(options: ShimServiceOptions) {
    this.#options = options;
    this.#connects = new GuestConnects(options);
    const { native, path, connector } = options;
    this.#socket = native.openShimSocket(path, (message, fds) => this.#onMessage(message, fds), connector);
  }

  close(): void {
    this.#socket.close();
    this.#connects.close();
  }

  #onMessage(message: Buffer, [replyTo, ...others]: readonly number[]): void {
    const { native, datagrams, guard } = this.#options;
    for (const fd of others) native.closeDescriptor(fd);
    const answer = (outcome: Outcome) => {
      if (replyTo === undefined || outcome === 'elsewhere') return;
      if (outcome === 'none') native.closeDescriptor(replyTo);
      else native.reply(replyTo, encodeReply(outcome), []);
    };
    const act = () => {
      const request = this.#decode(message);
      if (!request) return answer('none');
      // The descriptor that came along is the guest's own socket.
      if (request.op === 'datagram' && replyTo !== undefined) return datagrams.send(request, replyTo);
      // A connect without a socket for the reply cannot be answered.
      if (request.op === 'connect' && replyTo === undefined) return;
      const outcome = this.#handle(request, replyTo ?? -1);
      return outcome instanceof Promise ? outcome.then(answer) : answer(outcome);
    };
    guard("a request of a guest's shim", act, () => answer('none'));
  }

  #handle(request: ShimRequest, replyTo: number): Outcome | Promise<Outcome> {
    const { listeners, locations, log, ownReal } = this.#options;
    switch (request.op) {
      case 'connect':
        return this.#connects.connect(request, replyTo);
      case 'accept':
        return { status: ECONNABORTED };
      case 'listen': {
        const { port, realPort, scope, protocol, address } = request;
        const real = request.real || ownReal;
        listeners.add({ port, real, realPort, scope, ...(protocol && { protocol }), ...(address && { address }) });
        return { status: 0 };
      }
      case 'stale': {
        const host = locations.hostAt(request.address);
        if (host !== undefined) locations.distrust(host, request.epoch);
        return 'none';
      }
      case 'datagram':
        return 'none';
      case 'log':
        log('warn', request.text, { from: 'shim', pid: request.pid });
        return 'none';
    }
  }

  /** Undefined: no request. The first one of these is logged. */
  #decode(message: Buffer): ShimRequest | undefined {
    try {
      return decodeRequest(message);
    } catch (error) {
      if (!(error instanceof BadRequestError)) throw error;
      if (!this.#complained) this.#options.log('warn', error.message);
      this.#complained = true;
      return undefined;
    }
  }
}

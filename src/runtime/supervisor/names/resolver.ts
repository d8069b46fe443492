/**
 * A resolver for guests that send DNS questions by themselves (c-ares, Netty, Erlang, dig): their resolv.conf names
 * RESOLVER_ADDRESS. It is opened when the first of them sends a question, so that it costs a cold start nothing, not
 * even the reading of its code, which is a bundle beside ours.
 */

import { RESOLVER_ADDRESS, RESOLVER_PORT } from '../../../contract/abi/shim';
import type { PortRow } from '../../../contract/abi/table';
import { parseAddress } from '../../../contract/manifest/address';
import type { Guard } from '../../control/guard';
import type { Log } from '../run/log';
import type { ResolverIdentity } from './resolver-names';
import type { ResolverServer } from './resolver-server';

export interface ResolverOptions {
  readonly identity: ResolverIdentity;
  /** Its real ports, for the table; called before `open` returns. */
  readonly onOpen: (ports: readonly PortRow[]) => void;
  readonly guard: Guard;
  readonly log: Log;
}

export interface Resolver {
  /** Questions of guests that were passed on and have no answer. */
  readonly pending: number;
  /** False: it cannot be opened; the log says why. */
  open(): Promise<boolean>;
  close(): void;
}

/** The machine's own. */
const UPSTREAM = { resolvConf: '/etc/resolv.conf', port: RESOLVER_PORT };

export function createResolver({ identity, onOpen, guard, log }: ResolverOptions): Resolver {
  let opening: Promise<boolean> | undefined;
  let server: ResolverServer | undefined;
  let closed = false;

  const open = async (): Promise<boolean> => {
    try {
      const { openResolverServer } = await import('./resolver-server.js');
      const opened = await openResolverServer({ ...UPSTREAM, identity, guard, address: RESOLVER_ADDRESS });
      if (closed) {
        opened.close();
        return false;
      }
      server = opened;
    } catch (error) {
      log('error', `guests that ask DNS by themselves get no answers: ${(error as Error).message}`);
      opening = undefined;
      return false;
    }
    const address = parseAddress(RESOLVER_ADDRESS)!;
    const row = { address, port: RESOLVER_PORT, real: address, scope: 'loopback' } as const;
    onOpen([
      { ...row, realPort: server.tcpPort },
      { ...row, realPort: server.udpPort, protocol: 'udp' },
    ]);
    return true;
  };

  return {
    get pending() {
      return server?.pending ?? 0;
    },
    open: () => {
      opening ??= open();
      return opening;
    },
    close: () => {
      closed = true;
      server?.close();
    },
  };
}

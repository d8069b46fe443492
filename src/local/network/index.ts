/**
 * Opens a platform's network.
 *
 * - `nat`: every sandbox, and every client, in a network namespace of its own behind a NAT, as on AWS. Needs root or unprivileged
 *   user namespaces, and nftables.
 * - `flat`: every host has loopback addresses of its own. Works everywhere.
 */
import { LocalError } from '../errors';
import type { NetworkChoice, PlatformFlags } from '../types';
import { openControlSocket } from './control-socket';
import { openFlat } from './flat';
import { RANGE } from './gates';
import { startHolder } from './holder';
import { Internet } from './internet';
import { CLIENT, describeNat, type NatOf, parseNats } from './nat';
import type { Network } from './network';

/** What is most like AWS, where this machine allows it. */
export const DEFAULT_NETWORK: NetworkChoice = 'auto';

/** A slot costs 1.3 MB of the kernel's memory, also while it waits. */
const AHEAD = 16;

export interface NetworkOptions extends Pick<PlatformFlags, 'network' | 'nat' | 'rtt'> {
  /** Tells platforms of this machine apart. */
  readonly name: string;
  readonly hosts: readonly string[];
  /** The seed's. */
  readonly port: number;
  /** There are two seeds. Default false. */
  readonly standby?: boolean;
}

/** @throws LocalError */
export async function openNetwork(options: NetworkOptions): Promise<Network> {
  const { port, standby = false, hosts, nat = [], rtt = 0 } = options;
  const natOf = parseNats(nat, hosts);
  const wanted = nat.length > 0 ? '--nat' : rtt > 0 ? '--rtt' : undefined;
  const choice = options.network ?? (wanted ? 'nat' : DEFAULT_NETWORK);
  if (choice === 'flat') {
    if (wanted) throw new LocalError('nat', `${wanted} is for network nat, not for flat`, '--network nat');
    return openFlat(port, standby);
  }
  try {
    return await openNat(options, natOf);
  } catch (error) {
    if (!(error instanceof LocalError) || error.code !== 'network') throw error;
    const why = `network nat cannot be had here: ${error.message}`;
    if (choice === 'nat' || wanted) {
      throw new LocalError('network', why, 'See docs/limits.md for what it needs, or choose --network flat.', {
        cause: error,
      });
    }
    const flat = await openFlat(port, standby);
    return { ...flat, missing: [...flat.missing, why] };
  }
}

async function openNat(
  { name, hosts, port, standby = false, rtt = 0 }: NetworkOptions,
  natOf: NatOf,
): Promise<Network> {
  const holder = await startHolder(name);
  try {
    const internet = await Internet.open(holder, natOf, hosts, standby);
    await internet.faults.rtt(rtt);
    const seeds = internet.seeds.map((slot) => ({
      address: `${slot.address}:${port}`,
      slot,
      dial: () => slot.dial(port),
    }));
    const { close, ...access } = await openControlSocket(name, internet, seeds);
    let closing = false;
    const broken = new Promise<never>((_, fail) => {
      void holder.exited.then(() => {
        if (!closing) fail(new LocalError('network', 'the process that holds the network has ended'));
      });
    });
    broken.catch(() => undefined); // handled where it is waited for
    const kinds = [...hosts, CLIENT].map((owner) => [owner, describeNat(natOf(owner))]);
    return {
      info: { kind: 'nat', range: RANGE, nats: Object.fromEntries(kinds), ...access },
      seeds,
      environment: {},
      missing: [],
      prepare: () => void internet.prepare(hosts.slice(0, AHEAD)),
      takeSlot: (owner) => internet.takeSlot(owner, 'host'),
      broken,
      close: async () => {
        closing = true;
        close();
        await holder.close();
      },
    };
  } catch (error) {
    await holder.close();
    throw error;
  }
}

/** Where a member can be met: what it reports of its NAT, as far as the seed vouches for that. */
import { aliasAddress } from '../../../contract/abi/table';
import type { FromSeed } from '../../../contract/control/from-seed';
import { formatAddress, inCidr, parseAddress, parseCidr } from '../../../contract/manifest';
import type { NatReport } from '../../../contract/peer/peer-messages';
import type { Channel } from '../../control/channel';

type Seen = Pick<Channel<FromSeed>, 'peer' | 'local'>;

/**
 * A member knows its NAT, but does not say where others punch to: it could name anybody. `ports`: those that it was
 * given.
 */
export function vouched(nat: NatReport, seen: Seen, ports: readonly [number, number]): NatReport {
  const { localAddress: local } = nat;
  const localAddress = isMeetingPlace(local) && local !== seen.local.address ? local : seen.peer;
  return { ...nat, reflexiveAddress: seen.peer, localAddress, ports };
}

/** Addresses that the member may name in messages to others. */
export function addressesOf(nat: NatReport | undefined, seen: Seen, ports: readonly [number, number]): string[] {
  if (!nat) return [seen.peer];
  const { reflexiveAddress, localAddress } = vouched(nat, seen, ports);
  return [...new Set([reflexiveAddress, localAddress])];
}

/** On network `flat`, where a host is reachable follows from its virtual address. */
export function flatAddress(flat: number, virtual: string): string {
  return formatAddress(aliasAddress(flat, parseAddress(virtual)!));
}

/** Of a member that has not found out otherwise yet. */
export function unknownNat({ peer }: Seen, ports: readonly [number, number]): NatReport {
  return { kind: 'unknown', reflexiveAddress: peer, localAddress: peer, ports };
}

/**
 * Blocks of private networks: members behind one address may be met there. Any other address is a member's own affair
 * (127.0.0.0/8,
 * 169.254.0.0/16 with the platform's own services) or somebody else's, as the seed's.
 */
const PRIVATE = ['10.0.0.0/8', '172.16.0.0/12', '192.168.0.0/16', '100.64.0.0/10'].map((block) => parseCidr(block)!);

function isMeetingPlace(local: string): boolean {
  const address = parseAddress(local);
  return address !== undefined && PRIVATE.some((block) => inCidr(block, address));
}

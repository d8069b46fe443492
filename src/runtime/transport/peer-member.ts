import type { NatReport } from '../../contract/peer/peer-messages';
import type { GuestConnect } from './transport';

/** A host that can be punched to, as its location has it. */
export interface PeerMember {
  readonly host: string;
  /** Virtual address. */
  readonly address: number;
  readonly epoch: number;
  readonly nat: NatReport;
}

/** Undefined: its location has no NAT report. */
export function peerMemberOf({
  location,
  address,
}: Pick<GuestConnect, 'location' | 'address'>): PeerMember | undefined {
  const { nat, host, epoch } = location;
  return nat && { host, epoch, nat, address };
}

import type { NatReport } from '../peer/peer-messages';

/** States of a host, as the design's word list has them. */
export type HostState = 'imagined' | 'allocating' | 'running' | 'suspended' | 'failed';

/** Where a listening port of a guest really is. Scope `loopback` is never told to other hosts. */
export interface PortMapping {
  /** The port as the guest knows it. */
  readonly port: number;
  /** The port that is really bound. */
  readonly realPort: number;
  readonly scope: 'any' | 'host' | 'loopback';
  /** Absent: TCP. */
  readonly protocol?: 'udp';
}

/** Where a host runs now. */
export interface Location {
  readonly host: string;
  /** The host's incarnation number; only grows. */
  readonly epoch: number;
  readonly state: HostState;
  /** Real IPv4 address, while running. */
  readonly address?: string;
  readonly ports: readonly PortMapping[];
  /** Where it can be met through its NAT, once it has found that out. */
  readonly nat?: NatReport;
}

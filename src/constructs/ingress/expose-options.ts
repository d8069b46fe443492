import type { Duration } from 'aws-cdk-lib';
import type { IngressTls } from './ingress-tls';

/** What a port of the seed takes. */
export enum Protocol {
  /** Connections. */
  TCP = 'tcp',
  /**
   * Datagrams. All that one address and port of a client sends is a *flow*: where the documentation of a prop says
   * connection, that is a flow. Where it says that a connection is reset, its datagrams are dropped.
   */
  UDP = 'udp',
}

/** How clients from outside of the cluster reach a host or a service. */
export interface ExposeOptions {
  /**
   * The port of the seed that clients connect to: 1 to 65,535, and none of the seed's own, which are TCP. Two exposed hosts
   * may share it if both have `serverNames`.
   */
  readonly port: number;

  /**
   * TCP or UDP. The same port of both is two exposed ports.
   *
   * @default Protocol.TCP
   */
  readonly protocol?: Protocol;

  /**
   * The port that the host's guest listens on: 1 to 65,535.
   *
   * @default - the same as `port`
   */
  readonly hostPort?: number;

  /**
   * Which clients may connect: at most 64 IPv4 blocks. They become rules of the seed's security group, and the seed itself refuses other
   * clients before anything is allocated.
   *
   * @default ['0.0.0.0/0']
   */
  readonly allowFrom?: string[];

  /**
   * The DNS names that this host is addressed by on a port that several hosts share: at most 64, in lower case; `*.` may stand for the
   * first label. The seed reads the name out of the client's TLS hello and decrypts nothing, unless `tls` is set. A client that names no
   * host of the port is reset. TCP only.
   *
   * @default - the port belongs to this host alone
   */
  readonly serverNames?: string[];

  /**
   * The guest gets a header of the PROXY protocol, version 2, before the client's own bytes. Rarely needed: `accept` and
   * `getpeername` show the client's real address anyway. TCP only.
   *
   * @default false
   */
  readonly proxyProtocol?: boolean;

  /**
   * The seed ends TLS (1.2 or 1.3) with this certificate, and the host gets what the client says in plain. Of the protocols that a client
   * may ask for (ALPN), the seed speaks `http/1.1`. On a port that several hosts share, each has its own certificate, or ends TLS
   * itself. TCP only.
   *
   * @default - bytes go to the host as they are
   */
  readonly tls?: IngressTls;

  /**
   * Connections that one client address may have at a time: 1 to 4,096. Further ones are reset. UDP: flows, by default 32; all
   * clients of a port have 256 at most, and the oldest flow that the host has never answered makes room.
   *
   * @default 256
   */
  readonly maxConnectionsPerClient?: number;

  /**
   * New connections that one client address may make, at once and then each minute: 1 to 10,000,000. Further ones are reset.
   *
   * @default 6000
   */
  readonly maxNewConnectionsPerMinutePerClient?: number;

  /**
   * Allocations that one client address may cause, at once and then each minute: 1 to 100,000. A connection beyond it is reset,
   * unless the host runs already. The cluster's own limits hold as well.
   *
   * @default 10
   */
  readonly maxAllocationsPerMinutePerClient?: number;

  /**
   * UDP only: a flow in which nothing has come or gone for so long ends, 1 second to 1 hour. An answer keeps it alive.
   *
   * @default Duration.minutes(1)
   */
  readonly flowTimeout?: Duration;

  /**
   * How long a client's connection waits for the host, 100 ms to 15 minutes. Then it is reset.
   *
   * @default - the host's `allocationTimeout`; of a service, the longest of its hosts'
   */
  readonly allocationTimeout?: Duration;
}

/**
 * Clients from outside of the cluster, as guests here see them: each has a UDP socket of ours at the loopback alias that
 * no host has, and the table lists that socket by the client's real address and port. So a guest's shim shows the client
 * as the source of its datagrams, and sends answers to the socket, which passes them to the seed.
 */
import { createSocket, type RemoteInfo, type Socket } from 'node:dgram';
import { hiddenPort, plainPort } from '../../../contract/abi/shim';
import { aliasAddress, type PortRow } from '../../../contract/abi/table';
import { decodeOutside, encodeOutside, type OutsideDatagram } from '../../../contract/control/outside-datagram';
import { formatAddress } from '../../../contract/manifest/address';
import type { Guard } from '../../control/guard';
import type { Log } from '../run/log';
import type { OwnPort } from '../sockets/locations';

export interface OutsideClientsOptions {
  readonly aliases: number;
  /** Virtual address of this host. */
  readonly self: number;
  readonly ownPorts: () => readonly OwnPort[];
  /** From now on guests know these clients. */
  readonly publish: (ports: readonly PortRow[]) => void;
  /** To the seed. */
  readonly send: (answer: Buffer) => void;
  readonly guard: Guard;
  readonly log: Log;
}

interface OutsideClient {
  readonly address: number;
  readonly port: number;
  readonly socket: Socket;
  /** 0 until it is bound. */
  realPort: number;
  /** Until then. */
  readonly waiting: OutsideDatagram[];
  idle: number;
  timer?: NodeJS.Timeout;
}

/** Descriptors are scarce: Lambda allows 1,024. The one that was used least recently makes room. */
const MOST = 256;
/** Of one client: binding takes less than a millisecond. */
const MOST_WAITING = 64;

export class OutsideClients {
  readonly #options: OutsideClientsOptions;
  readonly #clients = new Map<string, OutsideClient>();
  /** Of no host: the cluster network's own. */
  readonly #stand: number;
  readonly #ownAlias: string;

  constructor(options: OutsideClientsOptions) {
    this.#options = options;
    this.#stand = aliasAddress(options.aliases, 0);
    this.#ownAlias = formatAddress(aliasAddress(options.aliases, options.self));
  }

  get size(): number {
    return this.#clients.size;
  }

  /** A datagram of a client, for a guest here. */
  deliver(bytes: Buffer): void {
    this.#options.guard('a datagram of a client from outside', () => {
      const datagram = decodeOutside(bytes);
      const key = keyOf(datagram);
      const client = this.#clients.get(key) ?? this.#add(key, datagram);
      client.idle = datagram.idle;
      this.#touch(key, client);
      if (client.realPort) this.#pass(client, datagram);
      else if (client.waiting.length < MOST_WAITING) client.waiting.push(datagram);
    });
  }

  close(): void {
    for (const client of this.#clients.values()) close(client);
    this.#clients.clear();
  }

  #add(key: string, { address, port, idle }: OutsideDatagram): OutsideClient {
    if (this.#clients.size >= MOST) this.#end(this.#clients.keys().next().value!);
    const socket = createSocket('udp4');
    const client: OutsideClient = { address, port, socket, realPort: 0, waiting: [], idle };
    this.#clients.set(key, client);
    socket.on('error', ({ message }) => {
      this.#options.log('warn', `a client from outside cannot be stood in for: ${message}`);
      if (this.#clients.get(key) === client) this.#end(key);
    });
    socket.once('listening', () => {
      if (this.#clients.get(key) !== client) return;
      client.realPort = socket.address().port;
      this.#publish();
      for (const datagram of client.waiting.splice(0)) this.#pass(client, datagram);
    });
    socket.on('message', (data, from) =>
      this.#options.guard('a datagram of a guest', () => this.#answer(key, client, data, from)),
    );
    socket.bind({ address: formatAddress(this.#stand), port: 0, exclusive: true });
    socket.unref();
    return client;
  }

  #pass({ socket }: OutsideClient, { hostPort, data }: OutsideDatagram): void {
    const own = this.#options
      .ownPorts()
      .find(({ protocol, port, scope }) => protocol === 'udp' && port === hostPort && isForOthers(scope));
    const to = own ? formatAddress(own.real) : this.#ownAlias;
    socket.send(data, own?.realPort ?? hiddenPort(hostPort), to, () => undefined);
  }

  #answer(key: string, client: OutsideClient, data: Buffer, from: RemoteInfo): void {
    if (from.address !== this.#ownAlias || this.#clients.get(key) !== client) return;
    this.#touch(key, client);
    const own = this.#options.ownPorts().find((p) => p.protocol === 'udp' && p.realPort === from.port);
    const { address, port } = client;
    this.#options.send(encodeOutside({ address, port, hostPort: own?.port ?? plainPort(from.port), idle: 0, data }));
  }

  /** Used last: ended last. */
  #touch(key: string, client: OutsideClient): void {
    clearTimeout(client.timer);
    client.timer = setTimeout(() => this.#end(key), client.idle).unref();
    this.#clients.delete(key);
    this.#clients.set(key, client);
  }

  #end(key: string): void {
    const client = this.#clients.get(key);
    if (!client) return;
    this.#clients.delete(key);
    close(client);
    if (client.realPort) this.#publish();
  }

  #publish(): void {
    const bound = [...this.#clients.values()].filter(({ realPort }) => realPort > 0);
    this.#options.publish(
      bound.map(({ address, port, realPort }) => ({
        ...{ address, port, real: this.#stand, realPort },
        ...{ scope: 'any' as const, protocol: 'udp' as const },
      })),
    );
  }
}

function close({ timer, socket }: OutsideClient): void {
  clearTimeout(timer);
  socket.close();
}

const keyOf = ({ address, port }: Pick<OutsideDatagram, 'address' | 'port'>) => `${address}:${port}`;
const isForOthers = (scope: OwnPort['scope']) => scope === 'any' || scope === 'host';

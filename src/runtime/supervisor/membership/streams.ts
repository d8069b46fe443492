/**
 * The stream of membership for guests: a Unix socket, whose connections get one JSON object a line. The first has all
 * members, each further one a change. The seed is asked only while a guest is connected.
 */
import type { Server, Socket } from 'node:net';
import type { Guard } from '../../control/guard';
import type { Coordination, Welcome } from '../../control/index';
import type { Log } from '../run/log';
import { type Change, MemberList } from './member-list';
import type { MembershipSocket } from './socket';

/** Connections of one host's guests; a further one is closed. */
export const MOST_STREAMS = 64;
/** Bytes that wait for a guest which does not read, besides its first line: beyond that its connection is closed. */
export const MOST_BEHIND = 256 * 1024;

export interface StreamsOptions {
  readonly socket: MembershipSocket;
  readonly self: Welcome['self'];
  readonly guard: Guard;
  readonly log: Log;
}

export class MembershipStreams {
  readonly #options: StreamsOptions;
  readonly #server: Server;
  /** Bytes of its first line, by connection; undefined: the list is not known yet. */
  readonly #streams = new Map<Socket, number | undefined>();
  readonly #list = new MemberList();
  #coordination: Coordination | undefined;
  #stop: (() => void) | undefined;
  /** The list is followed, and was complete once. */
  #current = false;

  constructor(options: StreamsOptions) {
    this.#options = options;
    const { server, problem } = options.socket;
    this.#server = server;
    const isMissing = (why: string) => options.log('warn', `there is no stream of membership: ${why}`);
    if (problem !== undefined) isMissing(problem);
    server.on('error', ({ message }) => isMissing(message));
    server.on('connection', (socket) => options.guard('a stream of membership', () => this.#connected(socket)));
  }

  /** Joined: the list comes through this session from now on. */
  use(coordination: Coordination | undefined): void {
    this.#stop = undefined;
    this.#current = false;
    this.#coordination = coordination;
    if (this.#streams.size > 0) this.#follow();
  }

  close(): void {
    this.#stop?.();
    this.#server.close();
    for (const socket of this.#streams.keys()) socket.destroy();
    this.#streams.clear();
  }

  #connected(socket: Socket): void {
    if (this.#streams.size >= MOST_STREAMS) {
      const reason = `${MOST_STREAMS} streams of membership are open on this host already`;
      socket.end(`${JSON.stringify({ type: 'refused', reason })}\n`);
      socket.on('error', () => undefined);
      socket.resume();
      return;
    }
    this.#streams.set(socket, undefined);
    socket.unref();
    socket.on('error', () => undefined);
    socket.on('close', () => this.#closed(socket));
    // There is nothing that a guest could say.
    socket.resume();
    if (this.#current) this.#begin(socket);
    else this.#follow();
  }

  #closed(socket: Socket): void {
    this.#streams.delete(socket);
    if (this.#streams.size > 0) return;
    this.#stop?.();
    this.#stop = undefined;
    this.#current = false;
  }

  #follow(): void {
    if (this.#stop || !this.#coordination) return;
    const { guard } = this.#options;
    this.#stop = this.#coordination.follow({
      onRestart: () => {
        this.#current = false;
        this.#list.restart();
      },
      onMembers: (members, complete) =>
        guard('a change of membership', () => {
          const changes = this.#list.apply(members, complete);
          if (changes) this.#publish(changes);
        }),
    });
  }

  #publish(changes: readonly Change[]): void {
    this.#current = true;
    const lines = changes.map(({ type, member: { id, name, address, epoch } }) =>
      JSON.stringify({ type, id, name, address, epoch }),
    );
    const text = lines.map((line) => `${line}\n`).join('');
    for (const [socket, first] of [...this.#streams]) {
      if (first === undefined) this.#begin(socket);
      else if (text !== '') this.#write(socket, text, first);
    }
  }

  #begin(socket: Socket): void {
    const { name, address, nodeId: id, epoch } = this.#options.self;
    const members = this.#list.members ?? [];
    const line = `${JSON.stringify({ type: 'members', self: { id, name, address, epoch }, members })}\n`;
    this.#streams.set(socket, Buffer.byteLength(line));
    socket.write(line);
  }

  #write(socket: Socket, text: string, first: number): void {
    if (socket.writableLength > first + MOST_BEHIND) {
      this.#options.log('warn', 'a guest does not read its stream of membership, which is closed');
      socket.destroy();
      return;
    }
    socket.write(text);
  }
}

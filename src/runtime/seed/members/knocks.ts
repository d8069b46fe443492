/**
 * Connections to host instances, each to a port from which the instance has sent nothing: whoever reaches such a port
 * needs no punch. An instance learns of one by its arrival. The address is always the one that its control connection comes
 * from, and the port one of those that the seed has given it.
 */
import { connect, type Socket } from 'node:net';
import { knockOf } from '../../../contract/control/knock';
import { Allowance } from '../allowance';

/** Milliseconds: for the connection, and until the instance has ended it. */
const KNOCK_LIMIT = 2_000;
/** For each instance: at once, and each minute. One joins, and joins again when its address has changed. */
const MOST = 4;

export class Knocks {
  /** By the instance's name: it has them for all of its connections to the seed. */
  readonly #allowances = new Map<string, Allowance>();
  readonly #open = new Set<Socket>();

  /** Whether it is there is for the instance to see. More often than it may, it is not knocked at. */
  knock(instance: string, address: string, port: number, secret: string): void {
    const allowance = this.#allowances.get(instance) ?? new Allowance(MOST, MOST / 60);
    this.#allowances.set(instance, allowance);
    if (!allowance.take()) return;
    const socket = connect({ host: address, port });
    const limit = setTimeout(() => socket.destroy(), KNOCK_LIMIT);
    this.#open.add(socket);
    socket.once('connect', () => socket.end(knockOf(secret)));
    socket
      .on('error', () => undefined)
      .once('close', () => {
        clearTimeout(limit);
        this.#open.delete(socket);
      });
    // An end of the other side counts only when it is read.
    socket.resume();
  }

  close(): void {
    for (const socket of this.#open) socket.destroy();
  }
}

/**
 * One UDP port of the seed for clients from outside. A client's first datagram locates and allocates the host as a
 * guest's does, and waits for it; further ones go to the host's supervisor over its control connection, and its answers
 * come back the same way.
 */
import { createSocket, type RemoteInfo, type Socket } from 'node:dgram';
import { encodeOutside, type OutsideDatagram } from '../../../contract/control/outside-datagram';
import { inCidr, parseAddress, parseCidr } from '../../../contract/manifest';
import type { Machine } from '../machine/interpreter';
import { isUp, type MemberId } from '../machine/state';
import { nameOf } from './caller';
import type { DatagramIngressOptions } from './datagram-ingress';
import type { ExposedPort } from './exposed-port';
import { type Flow, Flows, flowKey, hold, MOST_FLOWS, release } from './flow';
import type { Refusals } from './refusals';

export interface DatagramPortOptions
  extends Pick<DatagramIngressOptions, 'destination' | 'members' | 'events' | 'log' | 'cidr'> {
  readonly exposed: ExposedPort;
  /** As which hosts are located. */
  readonly member: MemberId;
  /** A number for a locate of that flow. */
  readonly begin: (port: DatagramPort, flow: Flow) => number;
  /** It waits no longer. */
  readonly end: (locate: number) => void;
  readonly refusals: Refusals;
}

export class DatagramPort {
  readonly exposed: ExposedPort;
  readonly flows = new Flows();
  readonly #options: DatagramPortOptions;
  readonly #socket: Socket;
  readonly #cidr;
  #closed = false;

  /** @param descriptor a bound UDP socket, which is this one's from now on */
  constructor(options: DatagramPortOptions, descriptor: number) {
    this.#options = options;
    this.exposed = options.exposed;
    this.#cidr = parseCidr(options.cidr)!;
    this.#socket = createSocket('udp4');
    this.#socket.on('message', this.#onMessage);
    // What the kernel says of a client that is gone concerns nobody else.
    this.#socket.on('error', ({ message }) => options.log('warn', `UDP port ${this.exposed.rules.port}: ${message}`));
    this.#socket.bind({ fd: descriptor });
  }

  close(): void {
    this.#closed = true;
    for (const flow of [...this.flows.all()]) this.#forget(flow);
    this.#socket.close();
  }

  /** The host has answered one of its clients. False: no flow of that client is here. */
  answer({ address, port, data }: OutsideDatagram): boolean {
    const flow = this.flows.find(flowKey({ address, port }));
    if (!flow || this.#closed) return false;
    this.flows.answered(flow);
    flow.idle?.refresh();
    this.#socket.send(data, port, flow.client.address, () => undefined);
    return true;
  }

  /** The host listens: what waits goes. */
  located(flow: Flow): void {
    this.#waitsNoLonger(flow);
    flow.met = true;
    for (const data of release(flow)) this.#pass(flow, data);
  }

  /** There is no host. The machine has reported it. */
  unreachable(flow: Flow): void {
    this.#waitsNoLonger(flow);
    this.#forget(flow);
  }

  readonly #onMessage = (data: Buffer, from: RemoteInfo): void => {
    const flow = this.flows.find(`${parseAddress(from.address)}:${from.port}`) ?? this.#open(from);
    if (!flow) return;
    flow.idle?.refresh();
    const machine = this.#options.destination(this.exposed.rules.host);
    if (!machine) return;
    flow.met &&= machine.state.phase.state === 'running';
    if (flow.met) this.#pass(flow, data);
    else this.#wait(flow, machine, data);
  };

  #wait(flow: Flow, machine: Machine, data: Buffer): void {
    const { address } = flow.client;
    const costs = flow.locate === undefined && !isUp(machine.state);
    const excess = costs ? this.exposed.clients.allocates(address) : undefined;
    if (excess) {
      this.#refuse(address, excess);
      this.#forget(flow);
      return;
    }
    this.#hold(flow, data);
    if (flow.locate === undefined) this.#locate(flow, machine);
  }

  /** Undefined: the client may not. */
  #open({ address, port }: RemoteInfo): Flow | undefined {
    const { clients } = this.exposed;
    const number = parseAddress(address)!;
    if (inCidr(this.#cidr, number)) return this.#refuse(address, "an address of the cluster's own network");
    if (port === 0) return undefined;
    if (!clients.allows(address)) return this.#refuse(address, 'allowFrom');
    if (this.flows.full && !this.flows.dispensable) return this.#refuse(address, `${MOST_FLOWS} flows`);
    const refusal = clients.connects(address);
    if (refusal) return this.#refuse(address, refusal);
    if (this.flows.full) {
      const { dispensable } = this.flows;
      this.#refuse(dispensable!.client.address, 'more flows than are answered');
      this.#forget(dispensable!);
    }
    const flow: Flow = {
      ...{ key: flowKey({ address: number, port }), client: { address, port }, address: number },
      ...{ met: false, waiting: [], bytes: 0 },
    };
    // One that waits for the host is not idle: that has a limit of its own.
    const idle = () => (flow.locate === undefined ? this.#forget(flow) : flow.idle?.refresh());
    flow.idle = setTimeout(idle, this.exposed.rules.flowTimeout).unref();
    this.flows.add(flow);
    return flow;
  }

  #hold(flow: Flow, data: Buffer): void {
    const lost = hold(flow, data);
    for (let i = 0; i < lost; i++) this.#refuse(flow.client.address, 'too much waits for the host');
  }

  #locate(flow: Flow, machine: Machine): void {
    const { member, begin } = this.#options;
    const { allocationTimeout = machine.entry.allocationTimeout } = this.exposed.rules;
    flow.limit = setTimeout(() => {
      this.#refuse(flow.client.address, 'allocationTimeout');
      this.#forget(flow);
    }, allocationTimeout);
    const id = begin(this, flow);
    flow.locate = id;
    const { hostPort } = this.exposed;
    machine.handle({ type: 'locate', member, by: nameOf(flow), id, port: hostPort, waited: 0, protocol: 'udp' });
  }

  #pass({ address, client }: Flow, data: Buffer): void {
    const { members, destination } = this.#options;
    const { host, flowTimeout: idle } = this.exposed.rules;
    const name = destination(host)?.entry.name;
    const to = name === undefined ? undefined : members.ofHost(name);
    // A host whose connection is lost gets nothing, as from a member.
    if (to === undefined || typeof to === 'string') return;
    const { hostPort } = this.exposed;
    to.channel.offer(encodeOutside({ address, port: client.port, hostPort, idle, data }));
  }

  #waitsNoLonger(flow: Flow): void {
    clearTimeout(flow.limit);
    if (flow.locate === undefined) return;
    this.#options.end(flow.locate);
    flow.locate = undefined;
    // From here on: the host was being allocated before.
    flow.idle?.refresh();
  }

  #forget(flow: Flow): void {
    const { locate } = flow;
    this.#waitsNoLonger(flow);
    const { host } = this.exposed.rules;
    if (locate !== undefined)
      this.#options.destination(host)?.handle({ type: 'cancel', member: this.#options.member, id: locate });
    clearTimeout(flow.idle);
    if (this.flows.delete(flow)) this.exposed.clients.leaves(flow.client.address);
  }

  #refuse(client: string, reason: string): undefined {
    const { rules } = this.exposed;
    this.#options.refusals.add(rules.host, rules.port, client, reason);
  }
}

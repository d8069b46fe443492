/**
 * Ports of the seed for clients from outside of the cluster. A client's connection locates and allocates its host as a
 * guest's connect does, waits for it, and is made one with a connection to the guest.
 */
import type { FromSeed } from '../../../contract/control/from-seed';
import { formatAddress, type ManifestExpose, parseAddress } from '../../../contract/manifest';
import type { NativeAddon } from '../../../native/addon';
import type { Log } from '../../control/session-options';
import type { Machine } from '../machine/interpreter';
import { isUp, type MemberId } from '../machine/state';
import type { Members } from '../members/members';
import type { EventLog } from '../operators/events';
import type { CallerEvent, Outside, Party, Relay } from '../relay/relay';
import { type Caller, nameOf } from './caller';
import { Destinations, type DestinationsOptions } from './destinations';
import { byPort, type ExposedPort, portKey } from './exposed-port';
import { Joins } from './joins';
import { Leads } from './leads';
import { proxyHeader } from './preface';
import { Refusals } from './refusals';
import { serverNameOf, withName } from './server-name';
import { TlsClients } from './tls/tls-clients';

export interface IngressOptions {
  readonly exposes: readonly ManifestExpose[];
  /** Descriptors that are bound already, by `portKey`. Others are bound here, at all addresses. */
  readonly descriptors: ReadonlyMap<string, number>;
  readonly native: Pick<NativeAddon, 'listen'>;
  /** Where connections go: each one asks anew. */
  readonly directory: DestinationsOptions['directory'];
  readonly hosts: ReadonlyMap<string, Machine>;
  readonly services: DestinationsOptions['services'];
  readonly members: Members;
  readonly relay: Pick<Relay, 'accept' | 'lead' | 'hear' | 'refuse' | 'take' | 'adopt' | 'admit' | 'connect'>;
  /** Text of a secret, for certificates. @throws Error with the reason */
  readonly secret: (id: string) => Promise<string>;
  readonly events: EventLog;
  readonly log: Log;
}

const NOTHING = new Uint8Array();
const ALL_ADDRESSES = '0.0.0.0';

export class Ingress {
  readonly #options: IngressOptions;
  readonly #member: MemberId;
  readonly #destinations: Destinations;
  readonly #refusals: Refusals;
  /** By the number that the data port reports. */
  readonly #ports: ReadonlyArray<readonly ExposedPort[]>;
  readonly #opened = new Set<number>();
  readonly #joins = new Joins();
  readonly #tls: TlsClients;
  readonly #leads: Leads;
  readonly #callers = new Map<number, Caller>();
  /** By locate. */
  readonly #waiting = new Map<number, Caller>();
  #lastLocate = 0;

  constructor(options: IngressOptions) {
    this.#options = options;
    this.#refusals = new Refusals(options.events);
    this.#member = options.members.addInside((frame) => this.#onFrame(frame));
    this.#destinations = new Destinations({ ...options, member: this.#member });
    this.#ports = [...byPort(options.exposes.filter(({ protocol }) => protocol === 'tcp')).values()];
    this.#tls = new TlsClients(options, this.#ports.flat());
    this.#leads = new Leads(options, this.#ports);
  }

  /** From now on clients are accepted; where TLS ends, once there is a certificate. */
  open(): void {
    this.#destinations.open(this.#ports.flat().map(({ rules }) => rules.host));
    this.#ports.forEach((exposed, number) => {
      if (exposed.every(({ wanted }) => !wanted)) this.#open(number);
    });
    this.#tls.start(() => this.#openReady());
  }

  /** The host's phase, or something of it, has changed. */
  changed(host: string): void {
    this.#leads.changed(host);
  }

  /** Reads certificates again. */
  async reload(): Promise<void> {
    await this.#tls.reload();
    this.#openReady();
  }

  close(): void {
    this.#refusals.close();
    this.#tls.close();
    for (const { timer } of this.#callers.values()) clearTimeout(timer);
  }

  /** A port that is bound already has clients that wait: without a certificate they are reset. */
  #openReady(): void {
    this.#ports.forEach((exposed, number) => {
      const bound = this.#options.descriptors.has(portKey(exposed[0].rules));
      if (bound || exposed.some((one) => this.#tls.isReady(one))) this.#open(number);
    });
  }

  #open(number: number): void {
    if (this.#opened.has(number)) return;
    this.#opened.add(number);
    const { native, descriptors, relay, events, log } = this.#options;
    const exposed = this.#ports[number];
    const [{ rules }] = exposed;
    const hosts = exposed.map((one) => one.rules.host).join(', ');
    try {
      const listener = descriptors.get(portKey(rules)) ?? native.listen(ALL_ADDRESSES, rules.port, false)[0];
      relay.accept(listener, number, exposed[0].counts ? exposed[0].clients.native : null);
      this.#leads.opened(number);
      log('info', `clients are accepted at port ${rules.port}`, { port: rules.port, hosts });
    } catch (error) {
      // The cluster itself does not need it.
      for (const one of exposed)
        events.emit(one.rules.host, 'ingress-failed', { port: rules.port, reason: (error as Error).message });
    }
  }

  readonly onCaller = (event: CallerEvent) => {
    if (event.type === 'caller') return this.#arrives(event);
    if (event.type === 'led') return this.#leads.onLed(event);
    if (event.type === 'refused') return this.#onRefused(event);
    const caller = this.#callers.get(event.id);
    if (!caller) return;
    if (event.type === 'gone') return this.#leaves(caller);
    const exposed = this.#ports.find(([{ rules }]) => rules.port === caller.port)!;
    const name = serverNameOf(event.hello);
    const found = name === undefined ? undefined : withName(exposed.map(named), name);
    if (found) this.#for(caller, found.exposed);
    else this.#refuse(caller, exposed[0], name === undefined ? 'no TLS server name' : 'another TLS server name');
  };

  #onRefused({ ingress, address, count, reason }: Extract<CallerEvent, { type: 'refused' }>) {
    const [{ rules }] = this.#ports[ingress];
    this.#refusals.add(rules.host, rules.port, formatAddress(address), reason, count);
  }

  #arrives({ id, ingress, address, port }: Extract<CallerEvent, { type: 'caller' }>) {
    const exposed = this.#ports[ingress];
    const client = { address: formatAddress(address), port };
    const caller: Caller = { id, client, port: exposed[0].rules.port };
    this.#callers.set(id, caller);
    if (exposed.length === 1 && exposed[0].rules.serverNames.length === 0) return this.#for(caller, exposed[0]);
    if (!exposed.some(({ clients }) => clients.allows(client.address)))
      return this.#refuse(caller, exposed[0], 'allowFrom');
    if (!this.#options.relay.hear(id)) this.#callers.delete(id);
  }

  #for(caller: Caller, exposed: ExposedPort) {
    const refusal = exposed.counts ? undefined : exposed.clients.connects(caller.client.address);
    if (refusal) return this.#refuse(caller, exposed, refusal);
    caller.exposed = exposed;
    if (!exposed.wanted) return this.#serve(caller, exposed);
    const problem = this.#endTls(caller, exposed);
    if (problem) this.#refuse(caller, exposed, problem);
  }

  /** Its handshake is first. @returns why that cannot be */
  #endTls(caller: Caller, exposed: ExposedPort): string | undefined {
    const { address } = caller.client;
    const problem = this.#tls.begin(caller, exposed, {
      onCaller: (id) => {
        this.#callers.delete(caller.id);
        caller.id = id;
        this.#callers.set(id, caller);
        this.#serve(caller, exposed);
      },
      onFailed: (reason) => this.#refuse(caller, exposed, reason),
      onEnd: () => exposed.clients.leaves(address),
    });
    caller.tls = problem === undefined;
    return problem;
  }

  #serve(caller: Caller, exposed: ExposedPort) {
    const { host } = exposed.rules;
    const arrival = { address: caller.client.address, name: nameOf(caller), port: exposed.hostPort };
    caller.to = this.#destinations.of(host, arrival);
    if (!caller.to) return this.#refuse(caller, exposed, `there is no host '${host}'`);
    const { allocationTimeout = caller.to.allocationTimeout } = exposed.rules;
    caller.timer = setTimeout(() => this.#refuse(caller, exposed, 'allocationTimeout'), allocationTimeout);
    this.#locate(caller, exposed);
  }

  #locate(caller: Caller, exposed: ExposedPort) {
    const machine = caller.to?.next();
    if (!machine) return this.#refuse(caller, exposed, 'no host is left');
    if (!isUp(machine.state) && caller.counted !== machine) {
      caller.counted = machine;
      const excess = exposed.clients.allocates(caller.client.address);
      if (excess) return this.#refuse(caller, exposed, excess);
    }
    const id = ++this.#lastLocate;
    caller.locate = id;
    this.#waiting.set(id, caller);
    const by = nameOf(caller);
    machine.handle({ type: 'locate', member: this.#member, by, id, port: exposed.hostPort, waited: 0 });
  }

  #onFrame(frame: FromSeed) {
    if (frame.type === 'service') return this.#destinations.publish(frame);
    if (frame.type === 'location') {
      // Nothing is kept of it: each connection locates anew.
      this.#options.hosts.get(frame.location.host)?.acknowledge(this.#member, frame.version);
      return;
    }
    if (frame.type !== 'located' && frame.type !== 'unreachable') return;
    const caller = this.#waiting.get(frame.id);
    this.#waiting.delete(frame.id);
    if (!caller?.exposed) return;
    caller.locate = undefined;
    const { exposed } = caller;
    // The machine has reported it.
    if (frame.type === 'unreachable') return this.#fails(caller, exposed, false);
    const { host } = frame.location;
    this.#joins.begin(host, () => {
      // It may have left while it stood in line.
      const problem = this.#callers.has(caller.id) ? this.#join(caller, exposed, frame) : '';
      if (problem === undefined) return;
      this.#joins.end(host);
      if (problem) this.#fails(caller, exposed, false, problem);
    });
  }

  /** The host is located again, or another one of its service is. @param reason undefined: it has been reported */
  #fails(caller: Caller, exposed: ExposedPort, moved: boolean, reason?: string): void {
    if (caller.to?.failed(moved)) this.#locate(caller, exposed);
    else if (reason === undefined) this.#end(caller);
    else this.#refuse(caller, exposed, reason);
  }

  /** @returns why that cannot be */
  #join(caller: Caller, exposed: ExposedPort, { location, realPort }: Extract<FromSeed, { type: 'located' }>) {
    const { members, relay } = this.#options;
    const to = members.ofHost(location.host);
    if (typeof to === 'string') return to;
    const { client } = caller;
    const from: Party = {
      name: nameOf(caller),
      sender: { member: this.#member, name: nameOf(caller), address: client.address, epoch: 0, addresses: [] },
    };
    const preface = exposed.rules.proxyProtocol
      ? proxyHeader(client, { address: to.sender.address, port: exposed.hostPort })
      : NOTHING;
    const outside = this.#outside(caller, exposed, location.host);
    if (location.address !== undefined) {
      const address = parseAddress(location.address)!;
      return relay.connect(caller.id, { from, to, address, port: realPort, preface }, outside);
    }
    const purpose = { for: 'ingress', port: exposed.hostPort, sourcePort: client.port } as const;
    const message = { type: 'relay', purpose, reason: 'a client from outside' } as const;
    return relay.admit(caller.id, { from, to, message, preface }, outside);
  }

  #outside(caller: Caller, exposed: ExposedPort, host: string): Outside {
    const fails = (moved: boolean, reason: string) => {
      this.#joins.end(host);
      if (this.#callers.has(caller.id)) this.#fails(caller, exposed, moved, reason);
    };
    return {
      onPaired: () => {
        clearTimeout(caller.timer);
        caller.to?.joined();
        this.#joins.end(host);
      },
      onUnused: (reason) => fails(true, reason),
      onRefused: (reason) => fails(false, `'${host}' refuses: ${reason}`),
      onEnded: () => this.#forget(caller),
    };
  }

  /** The client has left before it was joined with the host. */
  #leaves(caller: Caller): void {
    this.#cancel(caller);
    this.#forget(caller);
  }

  #cancel(caller: Caller): void {
    const { locate, to } = caller;
    if (locate === undefined) return;
    this.#waiting.delete(locate);
    to?.machine?.handle({ type: 'cancel', member: this.#member, id: locate });
  }

  #refuse(caller: Caller, { rules }: ExposedPort, reason: string): void {
    this.#refusals.add(rules.host, rules.port, caller.client.address, reason);
    this.#end(caller);
  }

  /** It is reset at once. */
  #end(caller: Caller): void {
    this.#options.relay.refuse(caller.id);
    this.#leaves(caller);
  }

  #forget(caller: Caller): void {
    clearTimeout(caller.timer);
    if (!this.#callers.delete(caller.id)) return;
    caller.to?.ended();
    const { exposed, tls, client } = caller;
    if (exposed && !exposed.counts && !tls) exposed.clients.leaves(client.address);
  }
}

const named = (exposed: ExposedPort) => ({ exposed, serverNames: exposed.rules.serverNames });

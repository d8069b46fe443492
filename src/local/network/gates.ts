/**
 * The internet of network `nat` and the NATs at it, each in a namespace. A NAT stands for one host, or for all that
 * share it, under a public address.
 */
import { parseAddress } from '../../contract/manifest';
import { addressBook, numbers } from './addresses';
import { all, type Holder } from './holder';
import { type Nat, type NatOf, natRules, OUTSIDE } from './nat';
import type { Gate } from './slot';

/**
 * For benchmarks of networks, so nowhere in use (RFC 2544). Hosts are in the lower half from 198.18.1.1 on, clients in
 * the upper.
 */
export const RANGE = '198.18.0.0/15';
const ROUTER = '198.18.0.1';
export const SEED = '198.18.0.2';
export const STANDBY = '198.18.0.3';
const HOSTS = parseAddress('198.18.1.0')!;
const CLIENTS = parseAddress('198.19.0.0')!;

/** A slot's owner: a host (or a function), or a client. */
export type OwnerKind = 'host' | 'client';

export class Gates {
  readonly internet: number;
  readonly #holder: Holder;
  readonly #spaces = numbers();
  /** Never twice: a packet of what had a number before may still be on its way out. */
  #serial = 0;
  readonly #addresses: Readonly<Record<OwnerKind, ReturnType<typeof addressBook>>>;
  readonly #shared = new Map<string, Promise<Gate>>();

  /** @param hosts have their addresses in this order */
  constructor(holder: Holder, natOf: NatOf, hosts: readonly string[]) {
    this.#holder = holder;
    this.#addresses = {
      host: addressBook(
        HOSTS,
        hosts.map((host) => addressee(host, natOf(host))),
      ),
      client: addressBook(CLIENTS),
    };
    this.internet = this.#spaces.take();
  }

  /** Makes the internet, with the seeds at it. @returns their numbers and the paths of their namespaces */
  async open(
    addresses: readonly string[],
  ): Promise<ReadonlyArray<{ readonly address: string; readonly space: number; readonly net: string }>> {
    const { internet } = this;
    const { run } = this.#holder;
    const spaces = addresses.map(() => this.takeSpace());
    const made = await all([
      ...spaces.map((space) => this.#holder.space(space)),
      this.#holder.space(internet),
      run(`address ${internet} lo ${ROUTER}/32`),
      // Wherever else a packet goes, the rules below say that there is no such place.
      run(`route ${internet} 0.0.0.0/0 lo`),
      ...addresses.flatMap((address, i) => this.#attach(spaces[i], 'eth0', `n${i === 0 ? '0' : 'standby'}`, address)),
      run(
        `filter ${internet} table ip internet { set cut { type ipv4_addr; }; chain everything { };` +
          ` chain forward { type filter hook forward priority 0; ip saddr != ${RANGE} drop;` +
          ` ip daddr != ${RANGE} reject with icmp type net-unreachable; jump everything;` +
          ` ip saddr @cut drop; ip daddr @cut drop; }; }`,
      ),
    ]);
    return addresses.map((address, i) => ({ address, space: spaces[i], net: made[i] as string }));
  }

  /** The NAT of an owner, which is made unless the owner shares one that there is. */
  async take(owner: string, kind: OwnerKind, nat: Nat): Promise<Gate> {
    const name = addressee(owner, nat);
    if (nat.shared === undefined) return this.#open(nat, this.#addresses[kind].take(name));
    const gate = this.#shared.get(name) ?? this.#open(nat, this.#addresses.host.take(name));
    this.#shared.set(name, gate);
    gate.catch(() => this.#shared.delete(name)); // the next one tries again
    return gate;
  }

  /** A public address without a NAT: in a namespace of its own, whose path is `net`. */
  async takePublic(owner: string, kind: OwnerKind): Promise<{ readonly gate: Gate; readonly net: string }> {
    const address = this.#addresses[kind].take(owner);
    const space = this.takeSpace();
    const uplink = `n${this.nextSerial()}`;
    const made = all([this.#holder.space(space), ...this.#attach(space, 'eth0', uplink, address)]);
    const [net] = await made.catch((error: Error) => {
      this.letGo(space);
      this.#addresses[kind].give(address);
      throw error;
    });
    return { gate: { space, uplink, ready: Promise.resolve(), address }, net: net as string };
  }

  /** A shared NAT stays. */
  give(gate: Gate, kind: OwnerKind, nat: Nat): void {
    if (nat.shared !== undefined) return;
    this.letGo(gate.space);
    this.#addresses[kind].give(gate.address);
  }

  /** Another public address for a host, instead of `old`. */
  takeAnother(host: string, old: string): string {
    return this.#addresses.host.takeAnother(host, old);
  }

  takeSpace(): number {
    return this.#spaces.take();
  }

  nextSerial(): number {
    return ++this.#serial;
  }

  letGo(space: number): void {
    void this.#holder.run(`close ${space}`).then(
      () => this.#spaces.give(space),
      () => undefined, // it was never made; or the holder has ended, and everything with it
    );
  }

  /** Connects a namespace to the internet under a public address; there, its link is `uplink`. */
  #attach(space: number, link: string, uplink: string, address: string): Array<Promise<void>> {
    const { internet } = this;
    const { run } = this.#holder;
    return [
      run(`link ${internet} ${uplink} ${space} ${link}`),
      run(`forward ${internet} ${uplink}`),
      run(`address ${space} ${link} ${address}/32`),
      run(`route ${space} 0.0.0.0/0 ${link} ${ROUTER}`),
      run(`route ${internet} ${address}/32 ${uplink}`),
    ];
  }

  async #open(nat: Nat, address: string): Promise<Gate> {
    const { run } = this.#holder;
    const space = this.takeSpace();
    const uplink = `n${this.nextSerial()}`;
    const made = all([
      this.#holder.space(space),
      ...this.#attach(space, OUTSIDE, uplink, address),
      run(`forward ${space} ${OUTSIDE}`),
    ]);
    const ready = run(`filter ${space} ${natRules(nat)}`);
    ready.catch(() => undefined); // handled where it is waited for
    await made.catch((error: Error) => {
      this.letGo(space);
      throw error;
    });
    return { space, uplink, ready, address };
  }
}

/** The owner of a public address: a host, or all that share it. */
function addressee(owner: string, { shared }: Nat): string {
  return shared === undefined ? owner : `shared ${shared}`;
}

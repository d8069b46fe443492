/**
 * Network `nat`: an internet in a namespace, the seed at a public address in another, and for each sandbox and each
 * client one behind a NAT. The namespaces are the holder's, so they end with it, and it ends with the platform.
 *
 *     sandbox eth0 ── lN NAT wan ── nN internet nN ── eth0 seed
 */
import { type Server, Socket } from 'node:net';
import { formatAddress, parseAddress } from '../../contract/manifest';
import { type Faults, faultsOf } from './faults';
import { Gates, type OwnerKind, SEED, STANDBY } from './gates';
import { all, type Handle, type Holder } from './holder';
import { forwardRules, type Nat, type NatOf } from './nat';
import type { NatSlot, OccupiedSlot, Slot } from './slot';

/** Networks of four addresses, one for each slot, from these on. */
const PRIVATE = { first: parseAddress('10.0.0.0')!, many: 0x400000 };
/** As Lambda's. The upper half has the services of the platform. */
const LINK_LOCAL = { first: parseAddress('169.254.0.0')!, many: 0x2000 };
/** Where Lambda's Runtime API is. */
const LOCAL = { address: '127.0.0.1', port: 9001 };

export class Internet {
  /** The cluster's seeds: one, or two. */
  readonly seeds: ReadonlyArray<Slot & { readonly address: string; dial(port: number): Promise<Socket> }>;
  readonly faults: Faults;
  readonly #holder: Holder;
  readonly #natOf: NatOf;
  readonly #gates: Gates;
  readonly #occupied = new Set<OccupiedSlot>();
  /** Made ahead, as a cold start would have to wait for it. */
  readonly #spares = new Map<string, Promise<NatSlot | undefined>>();

  /** @param hosts have their addresses in this order */
  static async open(holder: Holder, natOf: NatOf, hosts: readonly string[], standby: boolean): Promise<Internet> {
    const gates = new Gates(holder, natOf, hosts);
    return new Internet(holder, natOf, gates, await gates.open(standby ? [SEED, STANDBY] : [SEED]));
  }

  private constructor(holder: Holder, natOf: NatOf, gates: Gates, seeds: Awaited<ReturnType<Gates['open']>>) {
    this.#holder = holder;
    this.#natOf = natOf;
    this.#gates = gates;
    this.seeds = seeds.map(({ address, space, net }) => ({
      address,
      options: launcherOptions(net, holder.users),
      exclusive: true,
      ready: Promise.resolve(),
      listen: this.#listenIn(space),
      // From outside.
      dial: async (port) => socketOf(await holder.socket(`dial ${space} ${address} ${port}`)),
      silence: async () => undefined,
      close: () => undefined,
    }));
    this.faults = faultsOf({
      run: holder.run,
      internet: gates.internet,
      occupied: this.#occupied,
      seed: SEED,
      takeAnother: (host, old) => gates.takeAnother(host, old),
    });
  }

  /** Makes slots for these hosts ahead, one after the other. */
  async prepare(hosts: readonly string[]): Promise<void> {
    for (const host of hosts) {
      const spare = this.#build(host, 'host').catch(() => undefined); // the next caller finds out why
      this.#spares.set(host, spare);
      await spare;
    }
  }

  async takeSlot(owner: string, kind: OwnerKind): Promise<NatSlot> {
    const spare = kind === 'host' ? this.#spares.get(owner) : undefined;
    if (spare) this.#spares.delete(owner);
    const slot = (await spare) ?? (await this.#build(owner, kind));
    const entry: OccupiedSlot = { owner, slot };
    this.#occupied.add(entry);
    const close = () => {
      if (this.#occupied.delete(entry)) slot.close();
    };
    return { ...slot, close };
  }

  async #build(owner: string, kind: OwnerKind): Promise<NatSlot> {
    const { run, users } = this.#holder;
    const gates = this.#gates;
    const nat = this.#natOf(owner);
    if (nat.mapping === 'none') return this.#buildPublic(owner, kind, nat);
    const gate = await gates.take(owner, kind, nat);
    const space = gates.takeSpace();
    const serial = gates.nextSerial();
    const link = `l${serial}`;
    const { first, many } = isPrivateNetwork(nat) ? PRIVATE : LINK_LOCAL;
    const base = first + (serial % many) * 4;
    const [router, own] = [formatAddress(base + 1), formatAddress(base + 2)];
    let silent = false;
    const silence = async (on: boolean) => {
      if (on === silent) return;
      silent = on;
      await run(`${on ? '' : 'no-'}silence ${gate.space} ${link} ${own}/32`);
    };
    const close = () => {
      // A NAT that is shared stays, and its next host may have this address.
      silence(false).catch(() => undefined);
      gates.letGo(space);
      gates.give(gate, kind, nat);
    };
    const [path] = await all([
      this.#holder.space(space),
      run(`link ${gate.space} ${link} ${space} eth0`),
      run(`forward ${gate.space} ${link}`),
      run(`address ${gate.space} ${link} ${router}/30`),
      run(`address ${space} eth0 ${own}/30`),
      run(`route ${space} 0.0.0.0/0 eth0 ${router}`),
    ]).catch((error: Error) => {
      close();
      throw error;
    });
    const net = path as string;
    const ready =
      nat.mapping === 'one-to-one'
        ? gate.ready.then(() => run(`filter ${gate.space} ${forwardRules(own)}`))
        : gate.ready;
    ready.catch(() => undefined); // handled where it is waited for
    return {
      gate,
      net,
      ...(users === undefined ? {} : { users }),
      privateAddress: own,
      options: launcherOptions(net, users),
      exclusive: true,
      ready,
      listen: this.#listenIn(space),
      silence,
      close,
    };
  }

  async #buildPublic(owner: string, kind: OwnerKind, nat: Nat): Promise<NatSlot> {
    const { run, users } = this.#holder;
    const gates = this.#gates;
    const { gate, net } = await gates.takePublic(owner, kind);
    const { address, space, uplink } = gate;
    let silent = false;
    const silence = async (on: boolean) => {
      if (on === silent) return;
      silent = on;
      await run(`${on ? '' : 'no-'}silence ${gates.internet} ${uplink} ${address}/32`);
    };
    return {
      gate,
      net,
      ...(users === undefined ? {} : { users }),
      privateAddress: address,
      options: launcherOptions(net, users),
      exclusive: true,
      ready: gate.ready,
      listen: this.#listenIn(space),
      silence,
      close: () => {
        silence(false).catch(() => undefined);
        gates.give(gate, kind, nat);
      },
    };
  }

  #listenIn(space: number) {
    return async (server: Server, port = LOCAL.port): Promise<string> => {
      const handle = await this.#holder.socket(`listen ${space} ${LOCAL.address} ${port}`);
      await new Promise<void>((done, fail) => {
        server.once('error', fail);
        server.listen(handle, () => done());
      });
      return `${LOCAL.address}:${port}`;
    };
  }
}

function launcherOptions(net: string, users: string | undefined): string[] {
  return ['--network', net, ...(users === undefined ? [] : ['--users', users])];
}

function socketOf(handle: Handle): Socket {
  return new Socket({ handle, readable: true, writable: true } as ConstructorParameters<typeof Socket>[0]);
}

/**
 * Hosts that reach each other behind their NAT are in a private network, and a VM is. Every other one is alone there,
 * as a sandbox on Lambda.
 */
function isPrivateNetwork({ mapping, shared, apart }: Nat): boolean {
  return mapping === 'one-to-one' || (shared !== undefined && !apart);
}

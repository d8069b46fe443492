/**
 * Network `nat`: an internet in a namespace, the seed at a public address in another, and for each sandbox and each client one
 * behind a NAT. The namespaces are the holder's, so they end with it, and it ends with the platform.
 *
 *     sandbox eth0 ── lN NAT wan ── nN internet nN ── eth0 seed
 */
import { type Server, Socket } from 'node:net';
import { formatAddress, parseAddress } from '../../contract/manifest';
import { addressBook, numbers } from './addresses';
import { all, type Faults, faultsOf } from './faults';
import type { Handle, Holder } from './holder';
import { type Nat, type NatOf, natRules, OUTSIDE } from './nat';
import type { Slot } from './network';

/** For benchmarks of networks, so nowhere in use (RFC 2544). Hosts are in the lower half from 198.18.1.1 on, clients in the upper. */
export const RANGE = '198.18.0.0/15';
const ROUTER = '198.18.0.1';
const SEED = '198.18.0.2';
const HOSTS = parseAddress('198.18.1.0')!;
const CLIENTS = parseAddress('198.19.0.0')!;
/** Networks of four addresses, one for each place, from these on. */
const PRIVATE = { first: parseAddress('10.0.0.0')!, many: 0x400000 };
/** As Lambda's. The upper half has the services of the platform. */
const LINK_LOCAL = { first: parseAddress('169.254.0.0')!, many: 0x2000 };
/** Where Lambda's Runtime API is. */
const LOCAL = { address: '127.0.0.1', port: 9001 };

export interface Internet {
  readonly seed: Slot & { readonly address: string };
  /** A connection to that port of the seed, from outside. */
  dialSeed(port: number): Promise<Socket>;
  /** Makes places for these hosts ahead, one after the other. */
  prepare(hosts: readonly string[]): Promise<void>;
  place(owner: string, kind: 'host' | 'client'): Promise<NatSlot>;
  readonly faults: Faults;
}

export interface NatSlot extends Slot, Inside {
  readonly privateAddress: string;
  readonly gate: Gate;
}

/** What it takes to get in. */
export interface Inside {
  /** Path of the network namespace. */
  readonly net: string;
  /** Path of the user namespace that it belongs to; absent: the platform's own. */
  readonly users?: string;
}

export interface Whereabouts extends Inside {
  readonly privateAddress: string;
  readonly publicAddress: string;
}

export function whereabouts({ net, users, privateAddress, gate }: NatSlot): Whereabouts {
  return { net, users, privateAddress, publicAddress: gate.address };
}

/** A NAT. */
export interface Gate {
  readonly space: number;
  /** Its link, as the internet has it. */
  readonly uplink: string;
  readonly ready: Promise<void>;
  address: string;
  cut: boolean;
}

/** A place that somebody is in. */
export interface Standing {
  readonly owner: string;
  readonly place: NatSlot;
}

/** @param hosts have their addresses in this order */
export async function openInternet(holder: Holder, natOf: NatOf, hosts: readonly string[]): Promise<Internet> {
  const { tell } = holder;
  const spaces = numbers();
  /** Never twice: what had a number before may still be on its way out. */
  let serial = 0;
  const internet = spaces.take();
  const seedSpace = spaces.take();
  const addresses = {
    host: addressBook(
      HOSTS,
      hosts.map((host) => addressee(host, natOf(host))),
    ),
    client: addressBook(CLIENTS),
  };
  const shared = new Map<string, Promise<Gate>>();
  const standing = new Set<Standing>();
  /** Made ahead, as a cold start would have to wait for it. */
  const spares = new Map<string, Promise<NatSlot | undefined>>();

  /** Connects a namespace to the internet under a public address; there, its link is `uplink`. */
  const attach = (space: number, link: string, uplink: string, address: string) => [
    tell(`link ${internet} ${uplink} ${space} ${link}`),
    tell(`forward ${internet} ${uplink}`),
    tell(`address ${space} ${link} ${address}/32`),
    tell(`route ${space} 0.0.0.0/0 ${link} ${ROUTER}`),
    tell(`route ${internet} ${address}/32 ${uplink}`),
  ];
  const letGo = (space: number) =>
    void tell(`close ${space}`).then(
      () => spaces.give(space),
      () => undefined, // it was never made; or the holder has ended, and everything with it
    );

  const [seedPath] = await all([
    holder.space(seedSpace),
    holder.space(internet),
    tell(`address ${internet} lo ${ROUTER}/32`),
    // Wherever else it goes, the rules below say that there is no such place.
    tell(`route ${internet} 0.0.0.0/0 lo`),
    ...attach(seedSpace, 'eth0', 'n0', SEED),
    tell(
      `filter ${internet} table ip internet { set cut { type ipv4_addr; }; chain everything { };` +
        ` chain forward { type filter hook forward priority 0; ip saddr != ${RANGE} drop;` +
        ` ip daddr != ${RANGE} reject with icmp type net-unreachable; jump everything;` +
        ` ip saddr @cut drop; ip daddr @cut drop; }; }`,
    ),
  ]);

  const openGate = async (nat: Nat, address: string): Promise<Gate> => {
    const space = spaces.take();
    const uplink = `n${++serial}`;
    const made = all([
      holder.space(space),
      ...attach(space, OUTSIDE, uplink, address),
      tell(`forward ${space} ${OUTSIDE}`),
    ]);
    const ready = tell(`filter ${space} ${natRules(nat)}`);
    ready.catch(() => undefined); // whoever waits for it handles it
    await made.catch((error: Error) => {
      letGo(space);
      throw error;
    });
    return { space, uplink, ready, address, cut: false };
  };

  const gateOf = async (owner: string, kind: 'host' | 'client', nat: Nat): Promise<Gate> => {
    const name = addressee(owner, nat);
    if (nat.shared === undefined) return openGate(nat, addresses[kind].take(name));
    const gate = shared.get(name) ?? openGate(nat, addresses.host.take(name));
    shared.set(name, gate);
    gate.catch(() => shared.delete(name)); // the next one tries again
    return gate;
  };

  const build = async (owner: string, kind: 'host' | 'client'): Promise<NatSlot> => {
    const nat = natOf(owner);
    const gate = await gateOf(owner, kind, nat);
    const space = spaces.take();
    const link = `l${++serial}`;
    const { first, many } = isPrivateNetwork(nat) ? PRIVATE : LINK_LOCAL;
    const base = first + (serial % many) * 4;
    const [router, own] = [formatAddress(base + 1), formatAddress(base + 2)];
    const leave = () => {
      letGo(space);
      if (nat.shared !== undefined) return;
      letGo(gate.space);
      addresses[kind].give(gate.address);
    };
    const [net] = await all([
      holder.space(space),
      tell(`link ${gate.space} ${link} ${space} eth0`),
      tell(`forward ${gate.space} ${link}`),
      tell(`address ${gate.space} ${link} ${router}/30`),
      tell(`address ${space} eth0 ${own}/30`),
      tell(`route ${space} 0.0.0.0/0 eth0 ${router}`),
    ]).catch((error: Error) => {
      leave();
      throw error;
    });
    return {
      gate,
      net: net as string,
      ...(holder.users === undefined ? {} : { users: holder.users }),
      privateAddress: own,
      options: launcherOptions(net as string, holder.users),
      exclusive: true,
      ready: gate.ready,
      listen: listenIn(holder, space),
      close: leave,
    };
  };

  const prepare = async (owners: readonly string[]): Promise<void> => {
    for (const owner of owners) {
      const spare = build(owner, 'host').catch(() => undefined); // who needs it finds out why
      spares.set(owner, spare);
      await spare;
    }
  };

  const place = async (owner: string, kind: 'host' | 'client'): Promise<NatSlot> => {
    const spare = kind === 'host' ? spares.get(owner) : undefined;
    if (spare) spares.delete(owner);
    const made = (await spare) ?? (await build(owner, kind));
    const entry: Standing = { owner, place: made };
    standing.add(entry);
    const close = () => {
      if (standing.delete(entry)) made.close();
    };
    return { ...made, close };
  };

  return {
    seed: {
      address: SEED,
      options: launcherOptions(seedPath as string, holder.users),
      exclusive: true,
      ready: Promise.resolve(),
      listen: listenIn(holder, seedSpace),
      close: () => undefined,
    },
    dialSeed: async (port) => socketOf(await holder.socket(`dial ${seedSpace} ${SEED} ${port}`)),
    prepare,
    place,
    faults: faultsOf({ tell, internet, standing, takeAnother: addresses.host.takeAnother }),
  };
}

function launcherOptions(net: string, users: string | undefined): string[] {
  return ['--network', net, ...(users === undefined ? [] : ['--users', users])];
}

function listenIn(holder: Holder, space: number) {
  return async (server: Server): Promise<string> => {
    const handle = await holder.socket(`listen ${space} ${LOCAL.address} ${LOCAL.port}`);
    await new Promise<void>((done, fail) => {
      server.once('error', fail);
      server.listen(handle, () => done());
    });
    return `${LOCAL.address}:${LOCAL.port}`;
  };
}

function socketOf(handle: Handle): Socket {
  return new Socket({ handle, readable: true, writable: true } as ConstructorParameters<typeof Socket>[0]);
}

/** Hosts that reach each other behind their NAT are in a private network. Every other one is alone there, as a sandbox on Lambda. */
function isPrivateNetwork({ shared, apart }: Nat): boolean {
  return shared !== undefined && !apart;
}

/** Who has the public address: a host, or all that share it. */
function addressee(owner: string, { shared }: Nat): string {
  return shared === undefined ? owner : `shared ${shared}`;
}

/** What can go wrong with network `nat`, on purpose. */
import { all, type Holder } from './holder';
import { forwardRules, OUTSIDE, unsolicitedRules } from './nat';
import { type OccupiedSlot, type SlotInfo, slotInfo } from './slot';

/** Switched on and off by tests. Hosts are named; those that have no slot now are refused. */
export interface Faults {
  /** Round trip over the internet, in milliseconds: half of it each way. */
  rtt(milliseconds: number): Promise<void>;
  /** The internet (or the part of a host, or of `seed`) carries nothing until this is switched off. */
  cut(on: boolean, host?: string): Promise<void>;
  /** The host's NAT forgets all its mappings. */
  forget(host: string): Promise<void>;
  /** The host's NAT answers unsolicited connections with a reset, instead of not at all. */
  refuse(host: string, on: boolean): Promise<void>;
  /** The host's NAT lets connections to that port in, as none of Lambda's does: for native TCP over the same path. */
  forward(host: string, port: number): Promise<void>;
  /** The host's NAT gets another public address. @returns it */
  move(host: string): Promise<string>;
  where(host: string): Promise<SlotInfo>;
}

export interface FaultsOptions {
  readonly run: Holder['run'];
  /** The internet's namespace. */
  readonly internet: number;
  readonly occupied: ReadonlySet<OccupiedSlot>;
  /** Public address of the seed. */
  readonly seed: string;
  /** Another public address for a host, instead of that one. */
  readonly takeAnother: (host: string, old: string) => string;
}

export function faultsOf({ run, internet, occupied, seed, takeAnother }: FaultsOptions): Faults {
  /** Hosts whose part of the internet is cut, with the address that it is cut for. */
  const cut = new Map<string, string>();

  const find = (host: string): OccupiedSlot => {
    const found = [...occupied].find(({ owner }) => owner === host);
    if (found) return found;
    const owners = [...new Set([...occupied].map(({ owner }) => owner))];
    throw new Error(`'${host}' has no slot in the network now; those that have: ${owners.join(', ') || 'none'}`);
  };
  const gateOf = (host: string) => find(host).slot.gate;

  const rule = (text: string) => run(`filter ${internet} ${text}`);
  const mend = async (host: string) => {
    const address = cut.get(host);
    if (address !== undefined && cut.delete(host)) await rule(`delete element ip internet cut { ${address} }`);
  };
  const cutOff = async (host: string) => {
    await mend(host);
    // No host has this name: the manifest reserves it.
    const address = host === 'seed' ? seed : gateOf(host).address;
    cut.set(host, address);
    await rule(`add element ip internet cut { ${address} }`);
  };

  return {
    rtt: (milliseconds) => run(`delay ${internet} ${Math.round((milliseconds * 1000) / 2)}`),
    cut: async (on, host) => {
      if (host !== undefined) await (on ? cutOff(host) : mend(host));
      else await rule(`flush chain ip internet everything${on ? '; add rule ip internet everything drop' : ''}`);
    },
    forget: async (host) => run(`forget ${gateOf(host).space}`),
    refuse: async (host, on) => run(`filter ${gateOf(host).space} ${unsolicitedRules(on)}`),
    forward: async (host, port) => {
      const { gate, privateAddress } = find(host).slot;
      await run(`filter ${gate.space} ${forwardRules(privateAddress, port)}`);
    },
    move: async (host) => {
      const gate = gateOf(host);
      const { space, uplink, address: old } = gate;
      const address = takeAnother(host, old);
      gate.address = address;
      await all([
        run(`address ${space} ${OUTSIDE} ${address}/32`),
        run(`no-address ${space} ${OUTSIDE} ${old}/32`),
        run(`route ${internet} ${address}/32 ${uplink}`),
        run(`no-route ${internet} ${old}/32 ${uplink}`),
        // The kernel forgets them by itself, but when it finds the time.
        run(`forget ${space}`),
      ]);
      if (cut.has(host)) await cutOff(host);
      return address;
    },
    where: async (host) => slotInfo(find(host).slot),
  };
}

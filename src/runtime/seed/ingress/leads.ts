/**
 * Where the clients of a port go without asking: while its one host can be connected to from here, the data port leads
 * them there. Whatever the host's machine does, it is told so in the same step.
 */
import { formatAddress, parseAddress } from '../../../contract/manifest';
import type { DataPortEvent } from '../../../native/addon';
import type { Directory } from '../locate/directory';
import type { Machine } from '../machine/interpreter';
import { epochOf } from '../machine/state';
import { reachedAt } from '../machine/waiters';
import type { EventLog } from '../operators/events';
import type { Relay } from '../relay/relay';
import { nameOf } from './caller';
import type { ExposedPort } from './exposed-port';

export interface LeadsOptions {
  readonly directory: Pick<Directory, 'find' | 'serviceOf'>;
  readonly hosts: ReadonlyMap<string, Machine>;
  readonly relay: Pick<Relay, 'lead'>;
  readonly events: Pick<EventLog, 'emit'>;
}

type Led = Extract<DataPortEvent, { type: 'led' }>;

interface Lead {
  readonly number: number;
  readonly host: string;
  readonly port: number;
  /** As the data port was told last. */
  to: string;
}

const NOWHERE = 'nowhere';

export class Leads {
  readonly #options: LeadsOptions;
  readonly #leads: readonly Lead[];

  /** @param ports by the number that the data port has */
  constructor(options: LeadsOptions, ports: ReadonlyArray<readonly ExposedPort[]>) {
    this.#options = options;
    const { directory } = options;
    this.#leads = ports.flatMap(([{ rules, counts, hostPort }], number) => {
      const host = directory.serviceOf(rules.host) ? undefined : directory.find(rules.host)?.host.name;
      // The guest is to be told who each client is.
      if (!counts || rules.proxyProtocol || host === undefined) return [];
      return { number, host, port: hostPort, to: NOWHERE };
    });
  }

  /** The port accepts. */
  opened(number: number): void {
    for (const lead of this.#leads) if (lead.number === number) this.#look(lead);
  }

  /** The host's phase, or something of it, has changed. */
  changed(host: string): void {
    for (const lead of this.#leads) if (lead.host === host) this.#look(lead);
  }

  /** Clients have gone that way: for operators, as located clients are. */
  onLed({ ingress, address, count: connections, lead: epoch }: Led): void {
    const lead = this.#leads.find(({ number }) => number === ingress);
    if (!lead) return;
    const { host, port } = lead;
    const from = nameOf({ client: { address: formatAddress(address) } });
    this.#options.events.emit(host, 'connected', { from, port, epoch, waitedMs: 0, connections }, from);
  }

  #look(lead: Lead): void {
    const { hosts, relay } = this.#options;
    const { state } = hosts.get(lead.host)!;
    const at = reachedAt(state, lead.port);
    const epoch = epochOf(state) ?? 0;
    const to = at ? `${at.address}:${at.realPort} ${epoch}` : NOWHERE;
    if (to === lead.to) return;
    const led = relay.lead(lead.number, at ? parseAddress(at.address)! : 0, at?.realPort ?? 0, epoch);
    lead.to = led ? to : NOWHERE;
  }
}

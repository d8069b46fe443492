/** UDP ports of the seed for clients from outside of the cluster: which flow a locate or an answer of a host belongs to. */
import type { FromSeed } from '../../../contract/control/from-seed';
import { decodeOutside } from '../../../contract/control/outside-datagram';
import type { ManifestExpose } from '../../../contract/manifest';
import type { NativeAddon } from '../../../native/addon';
import type { Log } from '../../control/session-options';
import { Allowance } from '../allowance';
import type { Machine } from '../machine/interpreter';
import type { MemberId } from '../machine/state';
import type { Members } from '../members/members';
import type { Peer } from '../members/peer';
import type { EventLog } from '../operators/events';
import { DatagramPort } from './datagram-port';
import { byPort, type ExposedPort, portKey } from './exposed-port';
import type { Flow } from './flow';
import { Refusals } from './refusals';

export interface DatagramIngressOptions {
  /** Those of other protocols are left alone. */
  readonly exposes: readonly ManifestExpose[];
  /** See `IngressOptions`. */
  readonly descriptors: ReadonlyMap<string, number>;
  readonly native: Pick<NativeAddon, 'listen'>;
  readonly destination: (name: string) => Machine | undefined;
  readonly members: Pick<Members, 'addInside' | 'ofHost'>;
  /** The cluster's network: a client there would be taken for a member. */
  readonly cidr: string;
  readonly events: EventLog;
  readonly log: Log;
}

const ALL_ADDRESSES = '0.0.0.0';
/** Answers of one host: at once, and each second. Further ones are lost, as datagrams may be. */
const BURST = 20_000;
const RATE = 20_000;

export class DatagramIngress {
  readonly #options: DatagramIngressOptions;
  readonly #member: MemberId;
  readonly #refusals: Refusals;
  readonly #exposed: readonly ExposedPort[];
  readonly #ports: DatagramPort[] = [];
  /** By locate. */
  readonly #waiting = new Map<number, { readonly port: DatagramPort; readonly flow: Flow }>();
  readonly #allowances = new WeakMap<Peer, Allowance>();
  #lastLocate = 0;

  constructor(options: DatagramIngressOptions) {
    this.#options = options;
    this.#refusals = new Refusals(options.events);
    this.#member = options.members.addInside((frame) => this.#onFrame(frame));
    const udp = options.exposes.filter(({ protocol }) => protocol === 'udp');
    this.#exposed = [...byPort(udp).values()].flat();
  }

  /** From now on datagrams are taken. */
  open(): void {
    const { native, descriptors, events, log } = this.#options;
    for (const exposed of this.#exposed) {
      const { rules } = exposed;
      try {
        const descriptor = descriptors.get(portKey(rules)) ?? native.listen(ALL_ADDRESSES, rules.port, true)[0];
        this.#ports.push(new DatagramPort(this.#portOptions(exposed), descriptor));
        log('info', `datagrams are taken at UDP port ${rules.port}`, { port: rules.port, hosts: rules.host });
      } catch (error) {
        // The cluster itself does not need it.
        events.emit(rules.host, 'ingress-failed', { port: rules.port, reason: (error as Error).message });
      }
    }
  }

  close(): void {
    for (const port of this.#ports.splice(0)) port.close();
    this.#refusals.close();
  }

  /** A binary frame of a host: an answer to a client that it has. @throws RangeError when it is none */
  readonly answered = (from: Peer, bytes: Buffer): void => {
    const answer = decodeOutside(bytes);
    const allowance = this.#allowances.get(from) ?? new Allowance(BURST, RATE);
    this.#allowances.set(from, allowance);
    if (!allowance.take()) return;
    for (const port of this.#ports) {
      const { rules, hostPort } = port.exposed;
      if (hostPort !== answer.hostPort) continue;
      if (this.#options.destination(rules.host)?.entry.name === from.name && port.answer(answer)) return;
    }
  };

  #portOptions(exposed: ExposedPort) {
    return {
      ...this.#options,
      ...{ exposed, member: this.#member, refusals: this.#refusals },
      begin: (port: DatagramPort, flow: Flow) => {
        const id = ++this.#lastLocate;
        this.#waiting.set(id, { port, flow });
        return id;
      },
      end: (locate: number) => void this.#waiting.delete(locate),
    };
  }

  #onFrame(frame: FromSeed): void {
    if (frame.type === 'location') {
      // Nothing is kept of it: whether the host runs is looked up for each datagram.
      this.#options.destination(frame.location.host)?.acknowledge(this.#member, frame.version);
      return;
    }
    if (frame.type !== 'located' && frame.type !== 'unreachable') return;
    const waits = this.#waiting.get(frame.id);
    if (!waits) return;
    if (frame.type === 'located') waits.port.located(waits.flow);
    else waits.port.unreachable(waits.flow);
  }
}

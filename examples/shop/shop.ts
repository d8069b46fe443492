/** The shop while the demo runs: what is asked of it, and what has become of its hosts. */
import { type EventLog, type HostStatus, processesBelow, ps, type Run } from './imaginary';
import { ms, paint, print, show } from './say';
import type { ClusterEvent, Mark } from './timeline';

export interface Shop {
  readonly pid: number;
  readonly names: readonly string[];
  readonly log: EventLog;
  readonly marks: Mark[];
  /** The orders so far. */
  readonly orders: Run[];
}

export async function curl(shop: Shop, path: string): Promise<Run> {
  const run = await show('exec', '--', 'curl', '-sS', '--fail-with-body', `http://web/${path}`);
  shop.marks.push({ from: run.from, to: run.to, label: path });
  print(paint('2', `    answered after ${ms(run.to - run.from)}, with the start of curl and of its supervisor`));
  return run;
}

export async function order(shop: Shop): Promise<{ order: number; invoice: object }> {
  const run = await curl(shop, 'orders');
  shop.orders.push(run);
  return JSON.parse(run.stdout);
}

export const describe = (hosts: readonly HostStatus[]) =>
  hosts.map((h) => `${h.name} ${h.state}, ${h.allocations} allocations`).join('; ');
export const guests = (shop: Shop) =>
  processesBelow(shop.pid).filter((name) => /^(nginx|redis-server|python3|postgres)/.test(name));

/** What an order takes. */
export const CHAIN = ['web', 'api', 'redis', 'worker'];
/** A host that never listens is `allocating` for as long as it might do so yet. */
export const atWork = ({ name, state }: HostStatus) =>
  state === 'running' || (name === 'worker' && state === 'allocating');
const LIFE = ['allocating', 'running', 'resuming', 'resumed', 'suspended', 'released', 'exited', 'failed'];

const find = (shop: Shop, host: string, event: string, after = 0) =>
  shop.log.events.find((e) => e.host === host && e.event === event && e.time > after);
export const happened = (shop: Shop, event: string, hosts: readonly string[], after = 0) =>
  shop.log.until(`${hosts.join(', ')} ${event}`, 30_000, () =>
    hosts.every((host) => find(shop, host, event, after) !== undefined),
  );
/** What it says of that: the log arrives a little later than an answer. */
export async function detailOf(shop: Shop, host: string, event: string, after = 0) {
  await happened(shop, event, [host], after);
  return find(shop, host, event, after)!.detail;
}

/** The last thing that has become of a host. */
const lastOf = (events: readonly ClusterEvent[], host: string) =>
  events.filter((e) => e.host === host && LIFE.includes(e.event)).at(-1)?.event;

/** Waits until these hosts sleep. The log may lag behind the answer to the last request: the seed has the last word. */
export async function asleep(shop: Shop, hosts: readonly string[]): Promise<void> {
  for (let seen = 0; ; ) {
    await shop.log.until(
      `${hosts.join(', ')} asleep`,
      30_000,
      (events) => events.length > seen && hosts.every((host) => lastOf(events, host) === 'suspended'),
    );
    seen = shop.log.events.length;
    const found = (await ps()).filter(({ name }) => hosts.includes(name));
    if (found.every(({ state }) => state === 'suspended')) return;
  }
}

const ENDS = ['released', 'exited'];
/** The last thing that has become of each host is its end. Where a worker sees the end of its Redis, it exits by itself. */
export const ended = (shop: Shop) =>
  shop.log.until('the end of all hosts', 60_000, (events) =>
    shop.names.every((host) => {
      const last = lastOf(events, host);
      return last === undefined || ENDS.includes(last);
    }),
  );

/** Prints how hosts go to sleep and end, until the returned function is called. */
export function narrate(shop: Shop, after: number): () => void {
  print(`\n  ${paint('1', '$ imaginary events --follow')}`);
  return shop.log.each(({ time, host, event }) => {
    if (time < after || (event !== 'suspended' && !ENDS.includes(event))) return;
    const at = ((time - after) / 1_000).toFixed(1).padStart(5);
    print(`    after ${at} s: ${paint(event === 'suspended' ? '34' : '2', `${host} ${event}`)}`);
  });
}

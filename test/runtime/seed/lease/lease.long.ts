/**
 * The lease: every outcome of every write, clocks that jump, and holders that never overlap. Real requests to a real
 * table; only their way there has faults.
 */
import { Lease, LeaseLostError, type LeaseOptions } from '../../../../src/runtime/seed/lease/lease';
import type { LeaseTable } from '../../../../src/runtime/seed/lease/lease-table';
import { eventually } from '../../../support/eventually';
import { FAULTS, type Fault, type FaultyTable, faultyTable, type Operation } from './faulty-table';

/** Milliseconds of the leases here. */
const DURATION = 1_000;
/** What a holder stops earlier by. */
const MARGIN = DURATION / 5;
const KINDS = Object.keys(FAULTS) as Fault[];

let table: FaultyTable;
const leases = new Set<Lease>();
const closing = new AbortController();
beforeEach(async () => {
  table = await faultyTable();
});
afterEach(async () => {
  for (const lease of leases) lease.close();
  leases.clear();
  await table.close();
});
afterAll(() => closing.abort());

interface Held {
  readonly lease: Lease;
  /** Why it was lost, each time that it said so. */
  readonly lost: string[];
  readonly logs: string[];
  /** Moves its clock on, in milliseconds. */
  jump(by: number): void;
}

function leaseOn(to: LeaseTable, options: Partial<LeaseOptions> = {}): Held {
  let jumped = 0;
  const lost: string[] = [];
  const logs: string[] = [];
  const lease = new Lease({
    table: to,
    duration: DURATION,
    clock: () => performance.now() + jumped,
    onLost: (reason) => lost.push(reason),
    log: (level, message) => logs.push(`${level}: ${message}`),
    ...options,
  });
  leases.add(lease);
  return {
    ...{ lease, lost, logs },
    jump: (by) => {
      jumped += by;
    },
  };
}

/** The next request of that kind has this fault, and no other has one. @returns resolves when it has had it */
function once(operation: Operation, fault: Fault): Promise<void> {
  return new Promise((done) => {
    let due = true;
    table.faults((what) => {
      if (what !== operation || !due) return undefined;
      due = false;
      done();
      return fault;
    });
  });
}

const itemIn = async (to: LeaseTable) => {
  const read = await to.read(5_000);
  if (read.kind !== 'item') throw new Error(read.message);
  return read.item;
};

describe.each(KINDS)('a request that is: %s', (fault) => {
  test.each(['GetItem', 'PutItem'] as const)(
    '%s of the first holder: it holds the lease all the same',
    async (what) => {
      const { lease, lost } = leaseOn(await table.open());
      const had = once(what, fault);
      expect(await lease.acquire()).toBe(true);
      await had;
      lease.check();
      expect(lease.number).toBe(1);
      expect(lost).toEqual([]);
    },
  );

  test.each(['GetItem', 'PutItem'] as const)('%s of a successor: it holds the lease all the same', async (what) => {
    const before = leaseOn(await table.openDirectly());
    await before.lease.acquire();
    await before.lease.release();
    const { lease, lost } = leaseOn(await table.open());
    const had = once(what, fault);
    expect(await lease.acquire()).toBe(true);
    await had;
    lease.check();
    expect(lease.number).toBe(2);
    expect(lost).toEqual([]);
  });

  test('one renewal: the lease is held on', async () => {
    const direct = await table.openDirectly();
    const { lease, lost } = leaseOn(await table.open());
    await lease.acquire();
    await once('PutItem', fault);
    const { renewal } = (await itemIn(direct))!;
    await eventually(async () => (await itemIn(direct))!.renewal > renewal + 1);
    lease.check();
    expect(lost).toEqual([]);
  });

  test('all renewals: the holder stops before another one can begin', async () => {
    const { lease, lost } = leaseOn(await table.open());
    await lease.acquire();
    let stoppedAt = 0;
    const look = eventually(() => lost.length > 0).then(() => {
      stoppedAt = performance.now();
    });
    const successor = leaseOn(await table.openDirectly());
    const taking = successor.lease.acquire().then(() => performance.now());
    table.faults((what) => (what === 'PutItem' ? fault : undefined));
    await look;
    expect(lost).toEqual(['it was not renewed in time']);
    expect(() => lease.check()).toThrow(LeaseLostError);
    // What takes effect without an answer prolongs the lease for others only.
    const takenAt = await taking;
    expect(takenAt - stoppedAt).toBeGreaterThan(0);
    expect(successor.lease.number).toBe(2);
    expect(lost).toHaveLength(1);
  });

  test('giving it back: the successor waits for its end at the most', async () => {
    const { lease, lost, logs } = leaseOn(await table.open());
    await lease.acquire();
    const had = once('PutItem', fault);
    await lease.release();
    await had;
    expect(logs.at(-1)).toMatch(/^warn: the lease was not given back: /);
    const successor = leaseOn(await table.openDirectly());
    expect(await successor.lease.acquire()).toBe(true);
    expect(successor.lease.number).toBe(2);
    expect(lost).toEqual([]);
  });
});

test('given back: the successor does not wait', async () => {
  const first = leaseOn(await table.openDirectly(), { duration: 60_000 });
  await first.lease.acquire();
  await first.lease.release();
  const successor = leaseOn(await table.openDirectly());
  const start = performance.now();
  await successor.lease.acquire();
  expect(performance.now() - start).toBeLessThan(10_000);
  // It acts no more, whoever asks.
  expect(() => first.lease.check()).toThrow(LeaseLostError);
});

test('a renewal that another holder is found by: it stops at once', async () => {
  const direct = await table.openDirectly();
  const { lease, lost } = leaseOn(await table.open());
  await lease.acquire();
  const item = (await itemIn(direct))!;
  const taken = { ...item, number: item.number + 1, holder: 'another', renewal: 0 };
  const { number, renewal } = item;
  // As soon as nothing was renewed in between.
  const write = () => direct.write(taken, { is: 'unchanged', number, renewal }, 5_000);
  const outcome = await write();
  if (outcome.kind === 'lost') {
    const latest = (await itemIn(direct))!;
    await direct.write(taken, { is: 'unchanged', number, renewal: latest.renewal }, 5_000);
  }
  await eventually(() => lost.length > 0);
  expect(lost).toEqual(['another seed has taken it']);
  expect(() => lease.check()).toThrow(LeaseLostError);
  expect((await itemIn(direct))!.holder).toBe('another');
});

test("a holder's clock that has jumped: its check finds it out before any timer, once", async () => {
  const { lease, lost, jump } = leaseOn(await table.open());
  await lease.acquire();
  // By its last renewal it has this long, and no longer.
  jump(DURATION - MARGIN);
  expect(() => lease.check()).toThrow(LeaseLostError);
  expect(() => lease.check()).toThrow(LeaseLostError);
  expect(lost).toEqual(['it was not renewed in time']);
  // An answer to a renewal that is still under way gives nothing back.
  jump(-DURATION);
  expect(() => lease.check()).toThrow(LeaseLostError);
});

test('a clock that jumps while the lease is being taken: what was won is over, and is waited for anew', async () => {
  const { lease, lost, jump } = leaseOn(await table.open());
  let arrived: () => void = () => undefined;
  const arrival = new Promise<void>((resolve) => {
    arrived = resolve;
  });
  let due = true;
  table.faults((what) => {
    if (what !== 'PutItem' || !due) return undefined;
    due = false;
    arrived();
    return new Promise((go) => {
      setImmediate(() => {
        jump(DURATION);
        go(undefined);
      });
    });
  });
  const taking = lease.acquire();
  await arrival;
  expect(await taking).toBe(true);
  expect(lease.number).toBe(2);
  lease.check();
  expect(lost).toEqual([]);
});

test('a clock of one that waits that jumps: the holder is not disturbed', async () => {
  const direct = await table.openDirectly();
  const { lease, lost } = leaseOn(await table.open());
  await lease.acquire();
  const end = new AbortController();
  const waiting = leaseOn(direct);
  const taking = waiting.lease.acquire(end.signal);
  await eventually(() => waiting.logs.includes('info: standing by'));
  for (let i = 0; i < 5; i++) {
    const { renewal } = (await itemIn(direct))!;
    waiting.jump(3_600_000);
    await eventually(async () => (await itemIn(direct))!.renewal > renewal);
  }
  lease.check();
  expect(lost).toEqual([]);
  end.abort();
  expect(await taking).toBe(false);
  expect((await itemIn(direct))!.number).toBe(1);
});

test.each([
  ['the same', 0],
  ['an hour behind', -3_600_000],
  ['an hour ahead', 3_600_000],
])("the time of day of a successor is %s: its epochs are greater than all of its predecessor's", async (_what, by) => {
  let day = 1_800_000_000_000;
  const first = leaseOn(await table.openDirectly(), { timeOfDay: () => day });
  await first.lease.acquire();
  const begun = first.lease.epochClock();
  expect(begun).toBeGreaterThanOrEqual(day);
  // Whatever happens to the time of day, this clock goes on.
  day -= 7_200_000;
  const direct = await table.openDirectly();
  await eventually(async () => (await itemIn(direct))!.renewal > 1);
  expect(first.lease.epochClock()).toBeGreaterThan(begun);
  let last = 0;
  first.lease.close();
  await eventually(() => {
    last = first.lease.epochClock();
    try {
      first.lease.check();
      return false;
    } catch {
      return true;
    }
  });
  const second = leaseOn(direct, { timeOfDay: () => 1_800_000_000_000 + by });
  await second.lease.acquire();
  expect(second.lease.epochClock()).toBeGreaterThan(last);
  expect(Number.isSafeInteger(second.lease.epochClock())).toBe(true);
  if (by > 0) expect(second.lease.epochClock()).toBeGreaterThanOrEqual(1_800_000_000_000 + by);
});

test('of five that contend and vanish without a word, one holds it at a time, and the numbers grow', async () => {
  const spans: Array<{ readonly number: number; readonly from: number; readonly to: number }> = [];
  const contend = async () => {
    const { lease } = leaseOn(await table.open(), { duration: 500 });
    await lease.acquire();
    const from = performance.now();
    let to = from;
    // It vanishes without giving it back; up to its end it might have acted.
    lease.close();
    await eventually(() => {
      try {
        lease.check();
        to = performance.now();
        return false;
      } catch {
        return true;
      }
    });
    spans.push({ number: lease.number, from, to });
  };
  await Promise.all(Array.from({ length: 5 }, contend));
  const inOrder = spans.sort((a, b) => a.from - b.from);
  expect(inOrder.map(({ number }) => number)).toEqual([1, 2, 3, 4, 5]);
  for (const [i, { to }] of inOrder.entries()) {
    if (i > 0) expect(inOrder[i].from).toBeGreaterThan(inOrder[i - 1].to);
    expect(to).toBeGreaterThan(inOrder[i].from);
  }
}, 30_000);

test('a lease that nobody has held is left to the other one for a while, and one that has ended is not', async () => {
  const direct = await table.openDirectly();
  const second = leaseOn(direct, { yieldFirst: 60_000 });
  let looks = 0;
  const reading = { ...direct, read: (limit: number) => direct.read(limit).finally(() => (looks += 1)) };
  const patient = leaseOn(reading, { yieldFirst: 60_000 });
  const end = new AbortController();
  const waiting = patient.lease.acquire(end.signal);
  await eventually(() => looks > 2);
  expect(await itemIn(direct)).toBeUndefined();
  end.abort();
  expect(await waiting).toBe(false);

  const first = leaseOn(direct);
  await first.lease.acquire();
  await first.lease.release();
  await second.lease.acquire();
  expect(second.lease.number).toBe(2);
});

test('a lease that nobody comes for is taken after that while', async () => {
  const { lease, jump, logs } = leaseOn(await table.open(), { yieldFirst: 60_000 });
  let looks = 0;
  table.faults((what) => {
    looks += what === 'GetItem' ? 1 : 0;
    return undefined;
  });
  const taking = lease.acquire();
  await eventually(() => looks > 1);
  jump(60_000);
  expect(await taking).toBe(true);
  expect(lease.number).toBe(1);
  expect(logs).toEqual([]);
});

test('what cannot be read is reported once, and so is the end of it', async () => {
  const { lease, logs } = leaseOn(await table.open());
  let failed = 0;
  table.faults((what) => {
    if (what !== 'GetItem' || failed === 3) return undefined;
    failed += 1;
    return 'denied';
  });
  await lease.acquire();
  expect(logs).toEqual([
    'error: the lease cannot be read or written: denied: AccessDeniedException: no',
    'info: the lease can be read and written again',
  ]);
});

test('an item that somebody has made by hand is taken over', async () => {
  const direct = await table.openDirectly();
  const odd = { number: 0, renewal: 0, holder: '', duration: 0, clock: 0 };
  expect(await direct.write(odd, { is: 'absent' }, 5_000)).toEqual({ kind: 'won' });
  const { lease } = leaseOn(await table.open());
  await lease.acquire();
  expect(lease.number).toBe(1);
});

/** Flows of an exposed UDP port: what waits in one, and which one makes room. */
import {
  type Flow,
  Flows,
  hold,
  MOST_BYTES,
  MOST_FLOWS,
  MOST_WAITING,
  release,
} from '../../../../src/runtime/seed/ingress/flow';

const flow = (key: string): Flow => ({
  ...{ key, client: { address: '192.0.2.1', port: 1 }, address: 1, met: false, waiting: [], bytes: 0 },
});

test('datagrams that wait are bounded by their number: the oldest go', () => {
  const one = flow('a');
  for (let i = 0; i < MOST_WAITING; i++) expect(hold(one, Buffer.from([i]))).toBe(0);
  expect(hold(one, Buffer.from([200]))).toBe(1);
  expect(release(one).map(([byte]) => byte)).toEqual([
    ...Array.from({ length: MOST_WAITING - 1 }, (_, i) => i + 1),
    200,
  ]);
  expect(one).toMatchObject({ waiting: [], bytes: 0 });
});

test('and by their bytes: as many go as have to', () => {
  const one = flow('a');
  for (let i = 0; i < 4; i++) expect(hold(one, Buffer.alloc(MOST_BYTES / 4, i))).toBe(0);
  expect(hold(one, Buffer.alloc(MOST_BYTES / 2, 9))).toBe(2);
  expect(one.bytes).toBe(MOST_BYTES);
  expect(one.waiting.map(([byte]) => byte)).toEqual([2, 3, 9]);
  // One that could never wait costs the others nothing.
  expect(hold(one, Buffer.alloc(MOST_BYTES + 1))).toBe(1);
  expect(one.waiting).toHaveLength(3);
});

test('when all places are taken, the oldest flow without an answer makes room; one with an answer never does', () => {
  const flows = new Flows();
  const all = Array.from({ length: MOST_FLOWS }, (_, i) => flow(`${i}`));
  for (const one of all) flows.add(one);
  expect(flows.full).toBe(true);
  flows.answered(all[0]);
  expect(flows.dispensable).toBe(all[1]);
  expect(flows.delete(all[1])).toBe(true);
  expect(flows.delete(all[1])).toBe(false);
  expect(flows.full).toBe(false);
  for (const one of all) flows.answered(one);
  expect(flows.dispensable).toBeUndefined();
  expect(flows.size).toBe(MOST_FLOWS - 1);
});

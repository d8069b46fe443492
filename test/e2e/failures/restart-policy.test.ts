/** Restart policy: whether a guest that has ended by itself is started again, for each policy and each kind of end. */
import { attempt } from '../../support/attempt';
import { bootCluster, type TestCluster } from '../../support/cluster';

const POLICIES = ['never', 'on-failure', 'always'] as const;
const CODES = [0, 1] as const;
const CASES = POLICIES.flatMap((restartPolicy) => CODES.map((code) => [restartPolicy, code] as const));
const starts = (policy: string, code: number) => policy === 'always' || (policy === 'on-failure' && code !== 0);
const nameOf = (policy: string, code: number) => `${policy}-${code}`;

let cluster: TestCluster;
beforeAll(async () => {
  cluster = await bootCluster(
    CASES.map(([restartPolicy, code]) => ({
      name: nameOf(restartPolicy, code),
      command: ['/bin/sh', '-c', `exit ${code}`],
      restartPolicy,
    })),
    { name: 'restarts' },
  );
  // Those that are not started again come first: they have had the longest time when the others have been.
  for (const again of [false, true]) {
    for (const [policy, code] of CASES.filter(([p, c]) => starts(p, c) === again)) {
      expect(await attempt(cluster, nameOf(policy, code))).toMatchObject({ outcome: 'ECONNREFUSED' });
    }
  }
});
afterAll(() => cluster?.dispose());

const restarts = async (host: string) =>
  (await cluster.events())
    .filter((e) => e.host === host && e.event === 'restarting')
    .map((e) => Number(e.detail.delayMs));
const third = (host: string) => {
  let seen = 0;
  return cluster.waitFor((e) => e.host === host && e.event === 'restarting' && ++seen === 3);
};

test.each(CASES.filter(([p, c]) => starts(p, c)))('%s, exit code %i: started again, later each time', async (...of) => {
  await third(nameOf(...of));
  const [first, second, next] = await restarts(nameOf(...of));
  expect(first).toBeLessThanOrEqual(500);
  expect(second).toBeGreaterThan(500);
  expect(second).toBeLessThanOrEqual(1_000);
  expect(next).toBeGreaterThan(1_000);
});

test.each(CASES.filter(([p, c]) => !starts(p, c)))(
  '%s, exit code %i: not started again; a connect may',
  async (...of) => {
    for (const [policy, code] of CASES) if (starts(policy, code)) await third(nameOf(policy, code));
    expect(await restarts(nameOf(...of))).toEqual([]);
    expect(await cluster.host(nameOf(...of))).toMatchObject({ allocations: 1 });
    expect(await attempt(cluster, nameOf(...of))).toMatchObject({ outcome: 'ECONNREFUSED' });
    expect(await cluster.host(nameOf(...of))).toMatchObject({ allocations: 2 });
  },
);

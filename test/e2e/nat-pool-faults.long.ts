/** Network `nat`: hosts that stop, sleep and come again while connections to them are kept ready. */

import { bootCluster, type TestCluster } from '../support/cluster';
import { dialFiles, dialFrom, echo, other } from '../support/dial';
import { mentioning, processesOf } from '../support/processes';

const hosts = [
  echo('echo'),
  { ...echo('sleeper'), idleTimeout: 300, releaseTimeout: 600_000 },
  { ...echo('brief'), idleTimeout: 300, releaseTimeout: 500 },
  other,
];

let cluster: TestCluster;
beforeAll(async () => {
  cluster = await bootCluster(hosts, { name: 'pool-faults', files: dialFiles, upArguments: ['--network', 'nat'] });
});
afterAll(() => cluster?.dispose());

const dial = (host: string, count: number, parallel = 1) => dialFrom(cluster, 'other', host, count, parallel);

const named =
  (event: string, host: string, after = 0) =>
  (e: { host: string | null; event: string; time: number }) =>
    e.event === event && e.host === host && e.time > after;
/** So far: punched and kept ready they are, unless something is wrong. */
const relayed = async () => (await cluster.events()).filter(({ event }) => event === 'relay-started').length;
const all = (ok: number) => ({ ok, failed: [] });

test('a host that is suspended: what is kept ready works when it wakes, and it is the same one', async () => {
  expect(await dial('sleeper', 20)).toEqual(all(20));
  let time = 0;
  for (let i = 0; i < 2; i++) {
    ({ time } = await cluster.waitFor(named('suspended', 'sleeper', time)));
    expect(await dial('sleeper', 2, 16)).toEqual(all(32));
    ({ time } = await cluster.waitFor(named('resumed', 'sleeper', time)));
  }
  expect(await cluster.host('sleeper')).toMatchObject({ allocations: 1 });
  expect(await relayed()).toBe(0);
});

test('a host that is released: the next epoch gets what comes then, all of it', async () => {
  expect(await dial('brief', 20)).toEqual(all(20));
  let time = 0;
  for (let epoch = 2; epoch <= 3; epoch++) {
    ({ time } = await cluster.waitFor(named('released', 'brief', time)));
    expect(await dial('brief', 2, 16)).toEqual(all(32));
    expect(await cluster.host('brief')).toMatchObject({ allocations: epoch });
  }
  expect(await relayed()).toBe(0);
});

test('a supervisor that stops: what was kept ready and what is asked for ends or works; afterwards all is as before', async () => {
  expect(await dial('echo', 20)).toEqual(all(20));
  const [supervisor] = processesOf('pool-faults-echo').filter((pid) => mentioning('bootstrap.js').includes(pid));
  process.kill(supervisor, 'SIGSTOP');
  try {
    // More than are ready: some are used, others are asked for.
    const dialling = dial('echo', 1, 32);
    // Neither punched nor relayed by now.
    await cluster.waitFor(named('relay-unused', 'echo'));
    process.kill(supervisor, 'SIGCONT');
    expect(await dialling).toEqual(all(32));
  } finally {
    process.kill(supervisor, 'SIGCONT');
  }
  expect(await dial('echo', 2, 16)).toEqual(all(32));
  expect(await cluster.host('echo')).toMatchObject({ allocations: 1 });
});

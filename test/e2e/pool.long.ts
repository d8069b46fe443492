/**
 * A pool of Node's PostgreSQL client, and an unmodified PostgreSQL behind it: the database sleeps while the pool's
 * connections stay open.
 */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { buildSync } from 'esbuild';
import { untilAsleep } from '../support/asleep';
import { bootCluster, EACH_TRANSPORT, type TestCluster } from '../support/cluster';
import { guestFiles } from '../support/guests';
import { openLine } from '../support/line';

/** With its library, as one file. */
const program = buildSync({
  entryPoints: [join(__dirname, 'guests/pool.js')],
  ...{ bundle: true, platform: 'node', target: 'node20', external: ['pg-native'], write: false },
}).outputFiles[0].text;
const files = {
  ...guestFiles('hold.py'),
  'pool.js': program,
  'server.sh': readFileSync(join(__dirname, '../suites/guests/postgres/server.sh'), 'utf8'),
};
const isReady = '$(echo /usr/lib/postgresql/*/bin/pg_isready) -h localhost';
let cluster: TestCluster;
afterEach(() => cluster?.dispose());

test.each(EACH_TRANSPORT)(
  'network %s: queries on the old connections, and after the end of its epoch',
  async (_, flags) => {
    cluster = await bootCluster(
      [
        {
          name: 'db',
          command: ['sh', '-eu', 'server.sh'],
          readyWhen: { kind: 'command', command: ['sh', '-c', isReady], interval: 100, timeout: 5_000 },
          idleTimeout: 1_000,
        },
        // Awake all the time: what wakes the database is a query, and not its client's host.
        { name: 'app', command: ['node', 'pool.js', 'db'], releasePolicy: 'never' },
      ],
      { files, upArguments: flags },
    );
    const { say } = await openLine(cluster, 'app', '7001');
    /** @returns what the program has said, and after how many milliseconds */
    const ask = async (command: string) => {
      const [, took, said] = /^(\d+) ms: (.*)$/.exec(await say(command)) ?? [];
      return { said, took: Number(took) };
    };
    const kept = (await ask('keep')).said;
    const pooled = (await ask('query')).said;
    for (const who of [kept, pooled]) expect(who).toMatch(/^\d+ of \d+/);
    expect(kept).not.toBe(pooled);

    await untilAsleep(cluster, 'db');
    const before = (await cluster.events()).length;
    expect(await ask('open')).toMatchObject({ said: '2' });
    expect(await cluster.host('db')).toMatchObject({ state: 'suspended', allocations: 1 });
    expect(await ask('query')).toMatchObject({ said: pooled });
    const woken = (await cluster.events())
      .slice(before)
      .filter(({ host, event }) => host === 'db' && event === 'resuming');
    expect(woken.map(({ detail }) => detail.why)).toEqual(['data on an open connection']);
    expect(await ask('kept')).toMatchObject({ said: kept });
    expect(await cluster.host('db')).toMatchObject({ allocations: 1 });

    // The epoch ends while the database sleeps: who has connections with it learns so at once.
    await untilAsleep(cluster, 'db');
    expect(await cluster.imaginary(['release', 'db'])).toMatchObject({ code: 0 });
    expect(await cluster.host('db')).toMatchObject({ state: 'imagined' });
    const dead = await ask('kept');
    expect(dead.said).toMatch(/^failed: (read ECONNRESET|Client has encountered a connection error)/);
    expect(dead.took).toBeLessThan(1_000);
    expect(await cluster.host('db')).toMatchObject({ state: 'imagined' });
    const next = (await ask('query')).said;
    expect(next).toMatch(/^\d+ of \d+/);
    for (const old of [kept, pooled]) expect(next.split(' of ')[1]).not.toBe(old.split(' of ')[1]);
    expect(await cluster.host('db')).toMatchObject({ state: 'running', allocations: 2 });
  },
);

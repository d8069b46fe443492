/**
 * The demo: boots the shop with the real `imaginary` command and shows ten things, each of them checked. Its last line
 * is one JSON object; its exit code is 0 only if all of them held. Run it with `npm run demo`.
 *
 *   --svg FILE        write the timeline there (default: .imaginary/timeline.svg)
 *   --sandbox none    as on a machine that allows no isolation
 *   --network nat     every host behind a NAT of its own (default: what the platform chooses)
 */
import { spawnSync } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { relative, resolve } from 'node:path';
import { parseArgs } from 'node:util';
import { followEvents, frozen, type HostStatus, imaginary, isolation, platformPid, ps, STATE } from './imaginary';
import { fromOutside, type Outside, stayOpen } from './outside';
import { check, colour, indent, ms, paint, print, show } from './say';
import {
  asleep,
  atWork,
  CHAIN,
  curl,
  describe,
  detailOf,
  ended,
  guests,
  happened,
  narrate,
  order,
  type Shop,
} from './shop';
import { allocationSteps } from './steps';
import { type Timeline, timelineOf } from './timeline';
import { drawSvg } from './timeline-svg';
import { drawTerminal } from './timeline-terminal';

/** This folder's, and no other's: without `--state`, a cluster of a folder above would do, too. */
const DOWN = ['down', '--state', '.imaginary'];

const NUMBERS = ['None', 'One', 'Two', 'Three', 'Four', 'Five', 'Six', 'Seven', 'Eight', 'Nine', 'Ten'];
const count = (n: number) => NUMBERS[n] ?? `${n}`;
const names = (steps: ReadonlyArray<{ step: string }>) => steps.map(({ step }) => step).join(', ');

interface Step {
  readonly id: string;
  readonly title: string;
  /** Why this machine cannot show it. */
  readonly unable?: () => string | undefined;
  readonly run: (shop: Shop, outcome: Outcome) => Promise<void>;
}

/** In their order. */
const STEPS: readonly Step[] = [
  {
    id: 'declared',
    title: 'The cluster is declared, and nothing runs',
    run: async (shop) => {
      await show('ps');
      const hosts = await ps();
      const idle = hosts.length === 5 && hosts.every((h) => h.state === 'imagined' && h.allocations === 0);
      check(idle, 'five hosts, all of them imagined', describe(hosts));
      check(
        guests(shop).length === 0,
        'no nginx, redis-server, python3 or postgres runs below the platform',
        guests(shop).join(', '),
      );
    },
  },
  {
    id: 'names',
    title: 'Names resolve, although nobody is there',
    run: async (shop) => {
      const run = await show('exec', '--', 'getent', 'hosts', ...shop.names);
      const hosts = await ps();
      const resolved = hosts.every((h) =>
        run.stdout.split('\n').some((line) => line.split(/\s+/).join(' ').startsWith(`${h.address} ${h.name}`)),
      );
      check(resolved, 'every name has the address of its host', run.stdout);
      const idle = hosts.every((h) => h.state === 'imagined' && h.allocations === 0);
      check(idle, 'and resolving allocated nothing', describe(hosts));
    },
  },
  {
    id: 'allocation',
    title: 'One curl allocates the chain: web → api → redis, and the worker with its queue',
    run: async (shop) => {
      const answer = await order(shop);
      check(answer.order === 1, 'the shop took order 1, and the worker has priced it', JSON.stringify(answer));
      const hosts = await ps();
      const once = hosts.every((h) =>
        CHAIN.includes(h.name) ? atWork(h) && h.allocations === 1 : h.allocations === 0,
      );
      check(
        once,
        'these four run, each allocated once; the database is not needed, and stays imagined',
        describe(hosts),
      );
      const { why } = await detailOf(shop, 'worker', 'allocating');
      check(typeof why === 'string', `nobody connects to the worker: it ${why}`, 'it was connected to');
      const running = guests(shop);
      const real = ['nginx', 'redis-server', 'python3'].every((name) => running.some((r) => r.startsWith(name)));
      check(real, `real processes: ${[...new Set(running)].join(', ')}`, running.join(', '));
    },
  },
  {
    id: 'steps',
    title: 'How long each step took',
    run: async (shop) => {
      await shop.log.until('every step', 10_000, (events) => allocationSteps(CHAIN, events) !== undefined);
      const steps = allocationSteps(CHAIN, shop.log.events)!;
      const cell = (value: number) => value.toFixed(1).padStart(10);
      print(
        `\n    ${'host'.padEnd(8)}${'because'.padEnd(22)}${'at ms'.padStart(10)}${'sandbox'.padStart(10)}${'guest'.padStart(10)}${'total'.padStart(10)}`,
      );
      for (const s of steps)
        print(
          `    ${s.host.padEnd(8)}${s.because.padEnd(22)}${cell(s.at)}${cell(s.sandbox)}${cell(s.guest)}${cell(s.total)}`,
        );
      print(
        paint(
          '2',
          '    sandbox: function invoked, supervisor joined; guest: started by the supervisor, and listening, if it does\n',
        ),
      );
      const took = shop.orders[0].to - shop.orders[0].from;
      const inside = steps.every((s) => s.sandbox >= 0 && s.guest >= 0 && s.at + s.total <= took);
      check(
        inside,
        `every step is in the log, in order, and within the ${ms(took)} of the curl`,
        JSON.stringify(steps),
      );
      const hosts = await ps();
      const same = steps.every(
        (s) => !s.listens || Math.abs((hosts.find((h) => h.name === s.host)?.allocateMs ?? -1) - s.total) < 25,
      );
      check(same, 'and the times are those that ps shows', JSON.stringify({ steps, hosts }));
    },
  },
  {
    id: 'reuse',
    title: 'A second curl finds it running',
    run: async (shop) => {
      const answer = await order(shop);
      check(answer.order === 2, 'the shop took order 2: the same Redis', JSON.stringify(answer));
      const hosts = await ps();
      const same = hosts.every((h) => h.allocations === (CHAIN.includes(h.name) ? 1 : 0));
      check(same, 'nothing was allocated', describe(hosts));
      const [first, second] = shop.orders.map((run) => run.to - run.from);
      print(paint('2', `    ${ms(second)} instead of ${ms(first)}`));
    },
  },
  {
    id: 'worker',
    title: 'The worker sleeps in its BRPOP, with its queue, and an order wakes both',
    run: async (shop) => {
      const stop = narrate(shop, shop.orders[1].from);
      try {
        // What a host connects to soon after its start is started with it the next time. The API sleeps before it
        // connects to the database: so that one is not needed in the end, either.
        await asleep(shop, ['api', 'redis', 'worker']);
      } finally {
        stop();
      }
      check(true, 'both are suspended: frozen, with their memory and the connection between them', '');
      const answer = await order(shop);
      check(answer.order === 3, 'the shop took order 3: the same Redis', JSON.stringify(answer));
      const { resumeMs } = await detailOf(shop, 'worker', 'resumed', shop.orders[2].from);
      check(true, `the worker was woken within ${ms(Number(resumeMs))}, and has priced it`, '');
      const hosts = await ps();
      const both = hosts.filter(({ name }) => name === 'redis' || name === 'worker');
      const same = both.length === 2 && both.every((h) => h.allocations === 1);
      check(
        same,
        'neither was allocated again: the worker is the same process, on the same connection',
        describe(hosts),
      );
    },
  },
  {
    id: 'pool',
    title: 'The database sleeps behind an open pool, and a query wakes it',
    unable: () =>
      process.getuid?.() === 0 && !isolation().uid
        ? 'this machine gives guests no other user than root, and PostgreSQL refuses to run as root'
        : undefined,
    run: async (shop) => {
      const first = await curl(shop, 'goods');
      const { goods, backend } = JSON.parse(first.stdout);
      check(goods.length === 3, `process ${backend} of PostgreSQL has answered: nobody needed it before`, first.stdout);
      const stop = narrate(shop, first.from);
      try {
        // Not its end, as below.
        await happened(shop, 'suspended', ['db'], first.from);
        await frozen('db', 1);
      } finally {
        stop();
      }
      const pool = await curl(shop, 'pool');
      const { open } = JSON.parse(pool.stdout);
      check(open === 1, "the api's pool keeps its connection open", pool.stdout);
      const db = async () => (await ps()).filter(({ name }) => name === 'db');
      const asleep = await db();
      check(asleep[0].state === 'suspended', 'and the database sleeps, all its processes frozen', describe(asleep));
      const second = await curl(shop, 'goods');
      const same = JSON.parse(second.stdout).backend === backend;
      check(same, `the same process ${backend} has answered, on the same connection`, second.stdout);
      const { why } = await detailOf(shop, 'db', 'resuming', second.from);
      const { resumeMs } = await detailOf(shop, 'db', 'resumed', second.from);
      check(true, `the database was woken within ${ms(Number(resumeMs))}: ${why}`, '');
      check(why === 'data on an open connection', 'the query itself was the signal', String(why));
      const awake = await db();
      check(awake[0].allocations === 1, 'and nothing was allocated', describe(awake));
    },
  },
  {
    id: 'idleness',
    title: 'Idleness suspends the hosts, and then releases them',
    run: async (shop) => {
      // Not its end: on a slow machine a host is suspended before the command that connected to it has ended.
      const stop = narrate(shop, shop.marks[shop.marks.length - 1].from);
      try {
        await ended(shop);
      } finally {
        stop();
      }
      check(true, 'all that ran were suspended (frozen, with their memory), and then released', '');
      await show('ps');
      const hosts = await ps();
      check(
        hosts.every((h) => h.state === 'imagined'),
        'all five are imagined again',
        describe(hosts),
      );
      check(guests(shop).length === 0, 'and none of their processes is left', guests(shop).join(', '));
    },
  },
  {
    id: 'return',
    title: 'The next order brings back what it needs',
    run: async (shop) => {
      const needed = (await ps()).filter(({ name }) => CHAIN.includes(name)).map((h) => h.allocations);
      const answer = await order(shop);
      check(
        answer.order === 1,
        'order 1 again: a released host starts anew, as after a reboot',
        JSON.stringify(answer),
      );
      const hosts = await ps();
      const again = CHAIN.every((name, i) => {
        const host = hosts.find((h) => h.name === name);
        return host && atWork(host) && host.allocations === needed[i] + 1;
      });
      const db = hosts.find(({ name }) => name === 'db');
      check(again && db?.state === 'imagined', 'the same four run again, and the database does not', describe(hosts));
    },
  },
  {
    id: 'outside',
    title: 'From outside: a URL for a browser, and a port for redis-cli',
    run: async (shop, outcome) => {
      print(`\n  ${paint('1', '$ imaginary forward 0:web:80 0:redis:6379')}`);
      outcome.outside = await fromOutside(shop, 1, stayOpen);
    },
  },
];

interface Outcome {
  readonly held: string[];
  readonly failed: Array<{ step: string; reason: string }>;
  readonly skipped: Array<{ step: string; reason: string }>;
  hosts: HostStatus[];
  timeline?: string;
  outside?: Outside;
}

async function play(outcome: Outcome, svg: string, options: readonly string[]): Promise<void> {
  print(`\n  ${paint('1', `$ cd ${relative(process.cwd(), __dirname) || '.'}`)}`);
  await show('up', ...options);
  const log = followEvents();
  const shop: Shop = { pid: platformPid(), names: (await ps()).map((h) => h.name), log, marks: [], orders: [] };
  try {
    for (const [i, step] of STEPS.entries()) {
      print(`\n${paint('1;36', `${i + 1}/${STEPS.length}  ${step.title}`)}`);
      const unable = step.unable?.();
      if (unable) {
        print(`  ${paint('33', '–')} not shown: ${unable}`);
        outcome.skipped.push({ step: step.id, reason: unable });
        continue;
      }
      try {
        await step.run(shop, outcome);
        outcome.held.push(step.id);
      } catch (error) {
        const reason = (error as Error).message;
        print(`  ${paint('31', '✘')} ${reason}`);
        outcome.failed.push({ step: step.id, reason });
        // What comes next builds on this one.
        for (const later of STEPS.slice(i + 1)) outcome.failed.push({ step: later.id, reason: 'not reached' });
        break;
      }
    }
    outcome.hosts = await ps();
    if (shop.orders.length > 0) outcome.timeline = draw(shop, svg);
  } finally {
    log.close();
  }
}

/** Draws the run in the terminal and as a file. Returns the file's path. */
function draw(shop: Shop, file: string): string {
  const { events } = shop.log;
  const [first] = shop.orders;
  const last = shop.marks[shop.marks.length - 1];
  const cut = (from: number, to: number): Timeline =>
    timelineOf(
      shop.names,
      events,
      shop.marks.filter((m) => m.from < to && m.to > from),
      from,
      to,
    );
  const whole = cut(first.from - 300, last.to + 300);
  print(`\n${paint('1;36', 'The whole run')}\n`);
  print(indent(drawTerminal(whole, Math.min(process.stdout.columns ?? 100, 120) - 4, colour)));
  const margin = (first.to - first.from) * 0.02;
  writeFileSync(
    file,
    drawSvg('A shop of five imaginary hosts: drawn by npm run demo from the event log', [
      {
        title: `The first order allocates the chain, and is answered after ${ms(first.to - first.from)}`,
        timeline: cut(first.from - margin, first.to + margin),
      },
      { title: 'The whole run: allocated, reused, asleep, woken, asleep, released, allocated again', timeline: whole },
    ]),
  );
  print(`\n  The same as a picture: ${relative(process.cwd(), file)}`);
  return file;
}

async function main(): Promise<number> {
  const { values } = parseArgs({
    options: {
      svg: { type: 'string' },
      sandbox: { type: 'string' },
      network: { type: 'string' },
      nat: { type: 'string' },
    },
  });
  const up = (['sandbox', 'network', 'nat'] as const).flatMap((option) => {
    const value = values[option];
    return value ? [`--${option}`, value] : [];
  });
  const svg = resolve(values.svg ?? resolve(STATE, 'timeline.svg'));
  const outcome: Outcome = { held: [], failed: [], skipped: [], hosts: [] };
  print(
    paint(
      '1',
      'The shop: nginx → a Node.js API → Redis with a Python worker, and PostgreSQL. Unmodified programs, ordinary configuration.',
    ),
  );
  const guestsReady = spawnSync('bash', [resolve(__dirname, '../../scripts/guests.sh'), 'demo', '--require'], {
    stdio: ['ignore', 2, 2],
  });
  if (guestsReady.status !== 0) {
    outcome.failed.push({ step: 'guests', reason: 'a guest program is missing; see above for what to install' });
  } else {
    const interrupted = () => void imaginary(...DOWN).then(() => process.exit(130));
    process.once('SIGINT', interrupted).once('SIGTERM', interrupted);
    await imaginary(...DOWN); // what an interrupted run may have left
    try {
      await play(outcome, svg, up);
    } catch (error) {
      outcome.failed.push({ step: 'demo', reason: (error as Error).message });
      print(`  ${paint('31', '✘')} ${(error as Error).message}`);
    }
    const down = await imaginary(...DOWN);
    if (down.code !== 0) outcome.failed.push({ step: 'down', reason: down.stderr.trim() });
  }
  const { held, failed, skipped } = outcome;
  const ok = failed.length === 0 && held.length + skipped.length === STEPS.length;
  const hosts = outcome.hosts.map(({ name, allocations, allocateMs }) => ({ name, allocations, allocateMs }));
  const timeline = outcome.timeline ? relative(process.cwd(), outcome.timeline) : null;
  const all =
    skipped.length === 0
      ? `All ${count(held.length).toLowerCase()} held.`
      : `${count(held.length)} held, and ${names(skipped)} was not shown.`;
  print(`\n${ok ? paint('32', all) : paint('31', `Failed: ${names(failed)}`)}`);
  const { url = null, browser = null } = outcome.outside ?? {};
  print(JSON.stringify({ demo: ok ? 'ok' : 'failed', hosts, held, failed, skipped, timeline, url, browser }));
  return ok ? 0 : 1;
}

void main().then((code) => {
  process.exitCode = code;
});

/**
 * The demo: boots the shop with the real `imaginary` command and shows seven things, each of them checked. Its last line
 * is one JSON object; its exit code is 0 only if all seven held. Run it with `npm run demo`.
 *
 *   --svg FILE        write the timeline there (default: .imaginary/timeline.svg)
 *   --sandbox none    as on a machine that allows no isolation
 *   --network nat     every host behind a NAT of its own (default: what the platform chooses)
 */
import { spawnSync } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { relative, resolve } from 'node:path';
import { parseArgs } from 'node:util';
import {
  commandLine,
  type EventLog,
  followEvents,
  type HostStatus,
  imaginary,
  must,
  platformPid,
  processesBelow,
  ps,
  type Run,
  STATE,
} from './imaginary';
import { allocationSteps } from './steps';
import { type Mark, type Timeline, timelineOf } from './timeline';
import { drawSvg } from './timeline-svg';
import { drawTerminal } from './timeline-terminal';

const colour = process.stdout.isTTY === true && !process.env.NO_COLOR;
const paint = (code: string, text: string) => (colour ? `\x1b[${code}m${text}\x1b[0m` : text);
const print = (text = '') => process.stdout.write(`${text}\n`);
const indent = (text: string) => text.trimEnd().replace(/^/gm, '    ');
const ms = (value: number) => `${Math.round(value)} ms`;

class NotHeld extends Error {}
/** One claim of the demo: printed when it holds, the end of its step when it does not. */
function check(holds: boolean, claim: string, otherwise: string): void {
  if (!holds) throw new NotHeld(`${claim}: ${otherwise}`);
  print(`  ${paint('32', '✔')} ${claim}`);
}

async function show(...args: string[]): Promise<Run> {
  print(`\n  ${paint('1', `$ ${commandLine(args)}`)}`);
  const run = await must(...args);
  print(indent(run.stdout || run.stderr));
  return run;
}

interface Shop {
  readonly pid: number;
  readonly names: readonly string[];
  readonly log: EventLog;
  readonly marks: Mark[];
  /** The runs of curl so far. */
  readonly curls: Run[];
}

/** This folder's, and no other's: without `--state`, a cluster of a folder above would do, too. */
const DOWN = ['down', '--state', '.imaginary'];
const CURL = ['exec', '--', 'curl', '-sS', '--fail-with-body', 'http://web/orders'];

async function order(shop: Shop): Promise<{ order: number }> {
  const run = await show(...CURL);
  shop.curls.push(run);
  shop.marks.push({ from: run.from, to: run.to, label: `curl ${shop.curls.length}` });
  print(paint('2', `    answered after ${ms(run.to - run.from)}, with the start of curl and of its supervisor`));
  return JSON.parse(run.stdout);
}

const describe = (hosts: readonly HostStatus[]) =>
  hosts.map((h) => `${h.name} ${h.state}, ${h.allocations} allocations`).join('; ');
const guests = (shop: Shop) => processesBelow(shop.pid).filter((name) => /^(nginx|redis-server|python3)/.test(name));
const happened =
  (shop: Shop, event: string, after = 0) =>
  (events: EventLog['events']) =>
    shop.names.every((host) => events.some((e) => e.host === host && e.event === event && e.time > after));

/** The seven things, in their order. */
const STEPS: ReadonlyArray<{ id: string; title: string; run: (shop: Shop) => Promise<void> }> = [
  {
    id: 'declared',
    title: 'The cluster is declared, and nothing runs',
    run: async (shop) => {
      await show('ps');
      const hosts = await ps();
      const idle = hosts.length === 4 && hosts.every((h) => h.state === 'imagined' && h.allocations === 0);
      check(idle, 'four hosts, all of them imagined', describe(hosts));
      check(
        guests(shop).length === 0,
        'no nginx, redis-server or python3 runs below the platform',
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
    title: 'One curl allocates the chain: web → api → redis, worker',
    run: async (shop) => {
      const answer = await order(shop);
      check(answer.order === 1, 'the shop took order 1', JSON.stringify(answer));
      const hosts = await ps();
      const once = hosts.every((h) => h.state === 'running' && h.allocations === 1);
      check(once, 'all four hosts run, each allocated once', describe(hosts));
      const running = guests(shop);
      const real = ['nginx', 'redis-server', 'python3'].every((name) => running.some((r) => r.startsWith(name)));
      check(real, `real processes: ${[...new Set(running)].join(', ')}`, running.join(', '));
    },
  },
  {
    id: 'steps',
    title: 'How long each step took',
    run: async (shop) => {
      const steps = allocationSteps(shop.names, shop.log.events);
      if (!steps) throw new NotHeld(`the event log lacks a step: ${JSON.stringify(shop.log.events)}`);
      const cell = (value: number) => value.toFixed(1).padStart(10);
      print(
        `\n    ${'host'.padEnd(8)}${'caused by'.padEnd(12)}${'at ms'.padStart(10)}${'sandbox'.padStart(10)}${'guest'.padStart(10)}${'total'.padStart(10)}`,
      );
      for (const s of steps)
        print(
          `    ${s.host.padEnd(8)}${s.by.padEnd(12)}${cell(s.at)}${cell(s.sandbox)}${cell(s.guest)}${cell(s.total)}`,
        );
      print(
        paint('2', '    sandbox: function invoked, supervisor joined; guest: started by the supervisor, listening\n'),
      );
      const took = shop.curls[0].to - shop.curls[0].from;
      const inside = steps.every((s) => s.sandbox >= 0 && s.guest >= 0 && s.at + s.total <= took);
      check(
        inside,
        `every step is in the log, in order, and within the ${ms(took)} of the curl`,
        JSON.stringify(steps),
      );
      const hosts = await ps();
      const same = steps.every(
        (s) => Math.abs((hosts.find((h) => h.name === s.host)?.allocateMs ?? -1) - s.total) < 25,
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
      const same = hosts.every((h) => h.allocations === 1);
      check(same, 'nothing was allocated', describe(hosts));
      const [first, second] = shop.curls.map((run) => run.to - run.from);
      check(second < first, `${ms(second)} instead of ${ms(first)}`, 'it was not faster');
    },
  },
  {
    id: 'idleness',
    title: 'Idleness suspends the hosts, and then releases them',
    run: async (shop) => {
      // Not its end: on a slow machine a host is suspended before the command that connected to it has ended.
      const after = shop.curls[1].from;
      print(`\n  ${paint('1', '$ imaginary events --follow')}`);
      const narrated = shop.log.each(({ time, host, event }) => {
        if (time < after || (event !== 'suspended' && event !== 'released')) return;
        const at = ((time - after) / 1_000).toFixed(1).padStart(5);
        print(
          `    ${at} s after the second curl began: ${paint(event === 'suspended' ? '34' : '2', `${host} ${event}`)}`,
        );
      });
      try {
        await shop.log.until('all hosts suspended', 30_000, happened(shop, 'suspended', after));
        await shop.log.until('all hosts released', 30_000, happened(shop, 'released', after));
      } finally {
        narrated();
      }
      check(true, 'all four were suspended (frozen, with their memory), and then released', '');
      await show('ps');
      const hosts = await ps();
      check(
        hosts.every((h) => h.state === 'imagined'),
        'all four are imagined again',
        describe(hosts),
      );
      check(guests(shop).length === 0, 'and none of their processes is left', guests(shop).join(', '));
    },
  },
  {
    id: 'return',
    title: 'The next curl brings it back',
    run: async (shop) => {
      const answer = await order(shop);
      check(
        answer.order === 1,
        'order 1 again: a released host starts anew, as after a reboot',
        JSON.stringify(answer),
      );
      const hosts = await ps();
      const twice = hosts.every((h) => h.state === 'running' && h.allocations === 2);
      check(twice, 'all four hosts run, each allocated for the second time', describe(hosts));
    },
  },
];

interface Outcome {
  readonly held: string[];
  readonly failed: Array<{ step: string; reason: string }>;
  hosts: HostStatus[];
  timeline?: string;
}

async function play(outcome: Outcome, svg: string, options: readonly string[]): Promise<void> {
  print(`\n  ${paint('1', `$ cd ${relative(process.cwd(), __dirname) || '.'}`)}`);
  await show('up', ...options);
  const log = followEvents();
  const shop: Shop = { pid: platformPid(), names: (await ps()).map((h) => h.name), log, marks: [], curls: [] };
  try {
    for (const [i, step] of STEPS.entries()) {
      print(`\n${paint('1;36', `${i + 1}/${STEPS.length}  ${step.title}`)}`);
      try {
        await step.run(shop);
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
    if (shop.curls.length > 0) outcome.timeline = draw(shop, svg);
  } finally {
    log.close();
  }
}

/** Draws the run in the terminal and as a file. Returns the file's path. */
function draw(shop: Shop, file: string): string {
  const { events } = shop.log;
  const [first] = shop.curls;
  const last = shop.curls[shop.curls.length - 1];
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
    drawSvg('A shop of four imaginary hosts: drawn by npm run demo from the event log', [
      {
        title: `The first curl allocates the chain, and is answered after ${ms(first.to - first.from)}`,
        timeline: cut(first.from - margin, first.to + margin),
      },
      { title: 'The whole run: allocated, reused, suspended, released, allocated again', timeline: whole },
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
  const outcome: Outcome = { held: [], failed: [], hosts: [] };
  print(
    paint(
      '1',
      'The shop: nginx → a Node.js API → Redis, and a Python worker. Unmodified programs, ordinary configuration.',
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
  const ok = outcome.failed.length === 0 && outcome.held.length === STEPS.length;
  const hosts = outcome.hosts.map(({ name, allocations, allocateMs }) => ({ name, allocations, allocateMs }));
  const timeline = outcome.timeline ? relative(process.cwd(), outcome.timeline) : null;
  print(
    `\n${ok ? paint('32', 'All seven held.') : paint('31', `Failed: ${outcome.failed.map((f) => f.step).join(', ')}`)}`,
  );
  print(JSON.stringify({ demo: ok ? 'ok' : 'failed', hosts, held: outcome.held, failed: outcome.failed, timeline }));
  return ok ? 0 : 1;
}

void main().then((code) => {
  process.exitCode = code;
});

/**
 * Replays what real seeds have written (`../trace.ts`): steps their machines again, event by event, and judges what can be
 * judged of a trace. What the model proves of all that it can imagine, this finds of all that has happened.
 */
import { isDeepStrictEqual } from 'node:util';
import type { Effect, TimerName } from '../machine/effects';
import type { MachineEvent } from '../machine/events';
import { type HostState, imaginedHost, type MemberId, sessionOf } from '../machine/state';
import { step as realStep } from '../machine/step';
import { timersOf } from '../machine/turn';
import { waitTimer } from '../machine/waiters';
import type { TraceLine } from '../trace';

type StepLine = Extract<TraceLine, { type: 'step' }>;

/** One host under one seed, as far as it was replayed. */
interface Replayed {
  readonly name: string;
  state: HostState;
  /** Supervisors that have joined and are connected. */
  readonly joined: Set<MemberId>;
  /** By epoch, the life that joined as it. */
  readonly lives: Map<number, string | undefined>;
  /** The newest epoch that each member was answered with. */
  readonly seen: Map<MemberId, number>;
  /** Locates that are open, by the name of their timer: when each has to be answered. */
  readonly open: Map<TimerName, number>;
  readonly timers: Set<TimerName>;
}

/** One step, with what came of it. */
interface Taken extends StepLine {
  readonly of: Replayed;
}

/** @returns what is wrong with the step, or undefined */
type TraceProperty = (taken: Taken) => string | undefined;

/** Milliseconds that a timer of a busy seed may be late. */
const LATE = 1_000;

/** In the order in which they are judged: each keeps its own record of the host. */
export const OF_TRACES: Readonly<Record<string, TraceProperty>> = {
  'at most one sandbox is a host, and one an epoch': ({ event, effects, of }) => {
    const { joined, lives, state } = of;
    if (event.type === 'leave' || event.type === 'lost') joined.delete(event.member);
    for (const effect of effects) {
      if (effect.type === 'dismiss' || effect.type === 'destroy') joined.delete(effect.member);
    }
    if (event.type !== 'join' || sessionOf(state)?.peer !== event.member) return undefined;
    joined.add(event.member);
    if (joined.size > 1) return `members ${[...joined].join(' and ')} are this host`;
    const { epoch, life } = event;
    if (lives.has(epoch) && lives.get(epoch) !== life) return `two sandboxes have joined as epoch ${epoch}`;
    lives.set(epoch, life);
    return undefined;
  },

  'the epochs that a client sees grow': ({ effects, of: { seen } }) => {
    for (const effect of effects) {
      if (effect.type !== 'answer' || effect.frame.type !== 'located') continue;
      const { epoch } = effect.frame.location;
      const before = seen.get(effect.member) ?? 0;
      if (epoch < before) return `member ${effect.member} is answered with epoch ${epoch} after ${before}`;
      seen.set(effect.member, epoch);
    }
    return undefined;
  },

  'every connect that waits ends by its deadline': ({ event, effects, moment, of }) => {
    const { open, state } = of;
    if (event.type === 'locate') {
      const left = Math.max(0, state.settings.entry.allocationTimeout - event.waited);
      open.set(waitTimer(event), moment.at + left + LATE);
    }
    for (const effect of effects) {
      if (effect.type !== 'answer') continue;
      const name = waitTimer({ member: effect.member, id: effect.frame.id });
      const deadline = open.get(name);
      open.delete(name);
      if (deadline === undefined) return `${name} is answered, and does not wait`;
      if (moment.at > deadline) return `${name} is answered ${Math.round(moment.at - deadline + LATE)} ms too late`;
    }
    return undefined;
  },

  'no connect that waits is forgotten': ({ event, of: { open, state } }) => {
    if (event.type === 'cancel') open.delete(waitTimer(event));
    if (event.type === 'gone') {
      for (const name of open.keys()) if (name.startsWith(`wait ${event.member}/`)) open.delete(name);
    }
    const waiting = new Set<TimerName>(state.waiters.map(waitTimer));
    const forgotten = [...open.keys()].find((name) => !waiting.has(name));
    if (forgotten) return `${forgotten} has no answer, and waits no longer`;
    const unknown = [...waiting].find((name) => !open.has(name));
    return unknown && `${unknown} waits, and was not asked`;
  },

  'timers run exactly while the state says so': ({ event, effects, of: { timers, state } }) => {
    if (event.type === 'timer') timers.delete(event.name);
    for (const effect of effects) {
      if (effect.type === 'startTimer') timers.add(effect.name);
      if (effect.type === 'cancelTimer') timers.delete(effect.name);
    }
    const due = Object.entries(timersOf(state)).flatMap(([name, at]) => (at === undefined ? [] : [name as TimerName]));
    const wanted = new Set<TimerName>([...due, ...state.waiters.map(waitTimer)]);
    const missing = [...wanted].find((name) => !timers.has(name));
    if (missing) return `'${missing}' does not run`;
    const unwanted = [...timers].find((name) => !wanted.has(name));
    return unwanted && `'${unwanted}' runs`;
  },
};

/** A property, too: what was done is what the machine wants done. */
export const SAME = 'the effects are those of the machine';
/** A property of the last seed's hosts, where the cluster came to rest. */
export const RESTS = 'the state converges';

export interface Replay {
  readonly seeds: number;
  readonly steps: number;
  /** By property, in words. */
  readonly problems: Readonly<Record<string, readonly string[]>>;
}

export interface ReplayOptions {
  /** The cluster was at rest at the end of the trace. */
  readonly atRest?: boolean;
  /** The machine's. */
  readonly step?: typeof realStep;
}

/** @param lines of JSON. The last one of a seed that was killed may be cut. @throws where one is none of a trace's */
export function replay(lines: Iterable<string>, { atRest = false, step = realStep }: ReplayOptions = {}): Replay {
  const hosts = new Map<string, Replayed>();
  const problems: Record<string, string[]> = {};
  for (const property of [SAME, ...Object.keys(OF_TRACES), RESTS]) problems[property] = [];
  let [seeds, steps, full] = [0, 0, false];
  const take = (line: TraceLine) => {
    switch (line.type) {
      case 'seed':
        seeds += 1;
        return hosts.clear();
      case 'host':
        return void hosts.set(line.host, newHost(line));
      case 'step': {
        steps += 1;
        for (const [property, problem] of judge(hosts.get(line.host)!, line, step)) {
          const where = `seed ${seeds}, step ${steps}, '${line.host}', ${describe(line.event)}`;
          problems[property].push(`${where}: ${problem}`);
        }
        return;
      }
      case 'full':
        full = true;
        return;
      default:
        return line satisfies never;
    }
  };
  for (const line of parsed(lines)) take(line);
  if (atRest && !full) problems[RESTS].push(...[...hosts.values()].flatMap(restless));
  return { seeds, steps, problems };
}

function* parsed(lines: Iterable<string>): Generator<TraceLine> {
  let cut: string | undefined;
  for (const line of lines) {
    if (line === '') continue;
    // The next seed goes on behind what the one before it was killed in.
    const begin = line.lastIndexOf('{"type":"seed"');
    if (cut !== undefined) throw new Error(`no line of a trace: ${cut.slice(0, 100)}`);
    if (begin > 0) yield JSON.parse(line.slice(begin));
    else {
      try {
        yield JSON.parse(line);
      } catch {
        cut = line;
      }
    }
  }
}

function newHost({ host: name, settings, at }: Extract<TraceLine, { type: 'host' }>): Replayed {
  return {
    name,
    state: imaginedHost(settings, at),
    joined: new Set(),
    lives: new Map(),
    seen: new Map(),
    open: new Map(),
    timers: new Set(),
  };
}

function judge(of: Replayed, line: StepLine, step: typeof realStep): Array<[string, string]> {
  const { state, effects } = step(of.state, line.event, line.moment);
  of.state = state;
  const found: Array<[string, string]> = [];
  const wanted = JSON.parse(JSON.stringify(effects)) as Effect[];
  if (!isDeepStrictEqual(wanted, line.effects)) {
    found.push([SAME, `${JSON.stringify(line.effects)} were done, ${JSON.stringify(wanted)} are wanted`]);
  }
  for (const [name, property] of Object.entries(OF_TRACES)) {
    const problem = property({ ...line, of });
    if (problem) found.push([name, problem]);
  }
  return found;
}

function restless({ name, state: { phase, invocation, waiters } }: Replayed): string[] {
  return [
    ...(phase.state === 'imagined' ? [] : [`'${name}' is ${phase.state}`]),
    ...(invocation ? [`an invocation of '${name}' is open`] : []),
    ...(waiters.length === 0 ? [] : [`${waiters.length} connects wait for '${name}'`]),
  ];
}

function describe(event: MachineEvent): string {
  return event.type === 'timer' ? `timer ${event.name}` : event.type;
}

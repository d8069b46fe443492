/**
 * Supervisors' places in a cluster, many in one process, for the suite `scale`: each is the control client that a
 * supervisor has (`openSession`), over TLS of its own, without a guest. Commands come from the parent process, one at a
 * time.
 */
import { connect, type TLSSocket } from 'node:tls';
import { hostIdentity, joinSecret } from '../../src/contract/control/psk';
import { openSession, type Session, type SessionOptions } from '../../src/runtime/control/index';
import { pskOptions } from '../../src/runtime/control/tls-options';

export const PEERS = 5;

export type Command =
  | {
      readonly do: 'setup';
      readonly port: number;
      readonly key: string;
      readonly mine: readonly number[];
      readonly hosts: number;
    }
  /** Bare TLS connections, one for each host, a few at a time. */
  | { readonly do: 'bare'; readonly port: number; readonly psk: string; readonly atOnce: number }
  | { readonly do: 'bareEnd' }
  /** `within`: all are started within this many ms, evenly. Else `atOnce` at a time. */
  | { readonly do: 'join'; readonly epoch: number; readonly atOnce?: number; readonly within?: number }
  /** Each host asks for `PEERS` others. */
  | { readonly do: 'ask' }
  | { readonly do: 'change'; readonly host: number; readonly port: number }
  /** Resolves when all have joined again after `since`, and when all their questions are answered again. */
  | { readonly do: 'rejoined'; readonly since: number }
  | { readonly do: 'leave' }
  | { readonly do: 'usage' };

export interface Usage {
  /** Milliseconds of CPU. */
  readonly cpu: number;
  /** Frames sent and received so far, by type. */
  readonly frames: Readonly<Record<string, number>>;
}

/** Sent whenever a host is told of another's new port. */
export interface Told {
  readonly told: number;
  readonly at: number;
}

/** The machine's monotonic clock, the same in all processes; milliseconds. */
export const clock = () => Number(process.hrtime.bigint()) / 1e6;

/**
 * Every frame is one JSON text: counted where it is made and where it is read, so that the client itself is as it is.
 */
const frames: Record<string, number> = {};
function countFrames(): void {
  const { parse, stringify } = JSON;
  const count = (value: unknown) => {
    const type = (value as { type?: unknown } | null)?.type;
    if (typeof type === 'string') frames[type] = (frames[type] ?? 0) + 1;
  };
  JSON.stringify = ((value: unknown, ...more: []) => {
    count(value);
    return stringify(value, ...more);
  }) as typeof stringify;
  JSON.parse = (text, ...more) => {
    const value = parse(text, ...more);
    count(value);
    return value;
  };
}

interface Member {
  readonly index: number;
  readonly session: Session;
  ports: number[];
  joinedAt: number;
  /** Its questions after the last join are answered. */
  asked: Promise<number>;
}

const members = new Map<number, Member>();
const bare: TLSSocket[] = [];
let setup: Extract<Command, { do: 'setup' }>;
let onJoined: () => void = () => undefined;
let failed = 0;

const nameOf = (index: number) => `host-${index}`;
const mapping = (port: number) => ({ port, realPort: 40_000 + port, scope: 'any' as const });

/** Asks for others, spread over the cluster. @returns when the last answer was there */
async function askPeers(index: number, session: Session): Promise<number> {
  const { hosts } = setup;
  const step = Math.max(1, Math.floor(hosts / (PEERS + 1)));
  const asks = Array.from({ length: PEERS }, (_, k) =>
    session.locate(nameOf((index + (k + 1) * step) % hosts), 80).catch(() => {
      failed += 1;
    }),
  );
  await Promise.all(asks);
  return clock();
}

async function join(index: number, epoch: number): Promise<number> {
  const began = clock();
  const identity = hostIdentity(nameOf(index), epoch);
  let member: Member | undefined;
  const ports = [80];
  const options: SessionOptions = {
    seed: `127.0.0.1:${setup.port}`,
    identity,
    secret: joinSecret(Buffer.from(setup.key), 'bench', identity),
    join: () => ({ host: nameOf(index), epoch, ports: (member?.ports ?? ports).map(mapping) }),
    onWelcome: () => {
      if (!member) return;
      member.joinedAt = clock();
      member.asked = askPeers(index, member.session);
      onJoined();
    },
    onLocation: ({ ports: now }) => {
      for (const { port } of now) if (port > 80) process.send!({ told: port, at: clock() } satisfies Told);
    },
    onStop: (reason) => process.send!({ error: `host ${index} was stopped: ${reason}` }),
  };
  const session = await openSession(options);
  member = { index, session, ports, joinedAt: clock(), asked: Promise.resolve(0) };
  members.set(index, member);
  return member.joinedAt - began;
}

function openBare(port: number, psk: Buffer): Promise<number> {
  const began = clock();
  return new Promise((resolve, reject) => {
    const socket = connect({
      ...pskOptions(),
      host: '127.0.0.1',
      port,
      pskCallback: () => ({ psk, identity: 'bench' }),
      checkServerIdentity: () => undefined,
    });
    socket.setNoDelay(true).on('error', reject);
    socket.once('secureConnect', () => socket.write('x'));
    socket.once('data', () => resolve(clock() - began));
    bare.push(socket);
  });
}

/** Runs `act` for each item, `atOnce` at a time. */
async function paced<T>(items: readonly number[], atOnce: number, act: (item: number) => Promise<T>): Promise<T[]> {
  const rest = [...items];
  const results: T[] = [];
  const run = async () => {
    for (let next = rest.shift(); next !== undefined; next = rest.shift()) results.push(await act(next));
  };
  await Promise.all(Array.from({ length: atOnce }, run));
  return results;
}

/** Starts `act` for each item, evenly within `ms`. */
function spread<T>(items: readonly number[], ms: number, act: (item: number) => Promise<T>): Promise<T[]> {
  const later = (delay: number) => new Promise((resolve) => setTimeout(resolve, delay));
  return Promise.all(items.map((item, i) => later((i * ms) / items.length).then(() => act(item))));
}

async function rejoined(since: number): Promise<{ joined: number; asked: number; failed: number }> {
  const all = [...members.values()];
  await new Promise<void>((resolve) => {
    onJoined = () => all.every((m) => m.joinedAt > since && m.session.connected) && resolve();
    onJoined();
  });
  const asked = await Promise.all(all.map((m) => m.asked));
  return { joined: Math.max(...all.map((m) => m.joinedAt)), asked: Math.max(...asked), failed };
}

async function run(command: Command): Promise<unknown> {
  switch (command.do) {
    case 'setup':
      setup = command;
      return;
    case 'bare': {
      const psk = Buffer.from(command.psk, 'base64');
      return paced(setup.mine, command.atOnce, () => openBare(command.port, psk));
    }
    case 'bareEnd':
      for (const socket of bare.splice(0)) socket.destroy();
      return;
    case 'join': {
      const one = (index: number) => join(index, command.epoch);
      return command.within === undefined
        ? paced(setup.mine, command.atOnce!, one)
        : spread(setup.mine, command.within, one);
    }
    case 'ask': {
      const ask = async (index: number) => {
        const began = clock();
        return (await askPeers(index, members.get(index)!.session)) - began;
      };
      const times = await paced(setup.mine, 8, ask);
      if (failed > 0) throw new Error(`${failed} asks failed`);
      return times;
    }
    case 'change': {
      const member = members.get(command.host)!;
      member.ports = [80, command.port];
      const at = clock();
      member.session.ports(member.ports.map(mapping), true);
      return at;
    }
    case 'rejoined':
      return rejoined(command.since);
    case 'leave':
      await Promise.all([...members.values()].map(({ session }) => session.leave({ outcome: 'released' })));
      members.clear();
      return;
    case 'usage': {
      const { user, system } = process.cpuUsage();
      return { cpu: (user + system) / 1_000, frames } satisfies Usage;
    }
  }
}

if (require.main === module) {
  countFrames();
  process.on('message', (command: Command) => {
    run(command).then(
      (result) => process.send!({ result }),
      (error: Error) => process.send!({ error: error.stack }),
    );
  });
}

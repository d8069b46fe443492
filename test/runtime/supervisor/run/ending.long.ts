/** How a host ends, and what its commands hear of it: supervisors in processes of their own, real guests, a real seed. */
import type { ClusterEvent } from '../../../../src/contract/control/from-seed';
import type { Invocation } from '../../../../src/contract/platform/invocation';
import { orderHost } from '../../../../src/runtime/control/index';
import { family } from '../../../support/processes';
import { bootCluster, type Cluster } from '../../seed/cluster';
import { type LogLine, layersFolder, openSandbox, type Sandbox, type SandboxOptions } from '../sandbox';

jest.setTimeout(60_000);

const FLAT = 160;
/** Listens on any port. With SIGTERM it saves what it has, for a time, and ends; or it ignores it. */
const GUEST = `
import os, signal, socket, sys, time
def end(*_): # not with print: the signal may come within another one
    os.write(1, b'caught SIGTERM\\n')
    time.sleep(float(sys.argv[1]))
    os.write(1, b'saved\\n')
    sys.exit(0)
signal.signal(signal.SIGTERM, signal.SIG_IGN if sys.argv[1] == 'never' else end)
l = socket.create_server(('0.0.0.0', 0))
print('serving', flush=True)
while True: time.sleep(60)
`;
const guest = (saves: number | 'never' = 0) => ['/usr/bin/python3', '-c', GUEST, String(saves)];
const says = (word: string) => ['/bin/sh', '-c', `echo ${word} because $IMAGINARY_REASON`];
const hangs = ['/bin/sh', '-c', 'echo begun; sleep 60'];
const fails = ['/bin/sh', '-c', 'echo no disk >&2; exit 4'];

let layers: ReturnType<typeof layersFolder>;
beforeAll(() => {
  layers = layersFolder();
});
afterAll(() => layers.remove());

let cluster: Cluster;
let sandboxes: Sandbox[];
beforeEach(() => {
  sandboxes = [];
});
afterEach(async () => {
  for (const sandbox of sandboxes) sandbox.close();
  await cluster.close();
});

type Host = Omit<Parameters<typeof bootCluster>[0][number], 'name'>;
const sandbox = (n = 0) => sandboxes[n];

/** A host, started. `route` chooses the sandbox of an invocation by its number. */
async function start(
  host: Host,
  options: Partial<SandboxOptions> = {},
  route: (invocation: Invocation) => number = () => 0,
  reserved = false,
) {
  const entry = { name: 'web', command: guest(), workingDirectory: '/', idleTimeout: 60_000, ...host };
  const timeout = options.timeout ?? 60_000;
  cluster = await bootCluster([{ ...entry, timeout }], { flat: FLAT }, { reserved });
  cluster.host('web', async (invocation) => {
    const n = route(invocation);
    sandboxes[n] ??= await openSandbox({ layers: layers.path, flat: FLAT, ...options });
    return sandboxes[n].invoke(invocation);
  });
  expect(await order('start')).toMatchObject({ ok: true });
  await sandbox().logged(({ line }) => line === 'serving');
}
const order = (command: 'start' | 'stop' | 'release') => orderHost(cluster.access('operator'), 'web', command);
const event = (name: string, match?: (event: ClusterEvent) => boolean) => cluster.event('web', name, match);
const names = () => cluster.events.filter(({ host }) => host === 'web').map(({ event }) => event);
const noted = (message: string) => (line: LogLine) => line.message?.startsWith(message) === true;
/** What the log has of these, in its order. */
const heard = (n = 0) =>
  sandbox(n).log.flatMap(({ line, message }) => {
    if (line !== undefined) return [line];
    const known = ['onDrain begins', 'onDrain is done', 'onDrain failed', 'onRelease begins', 'onRelease is done'];
    const found = [...known, 'onRelease failed', 'stopping'].find((word) => message?.startsWith(word));
    return found ? [found] : [];
  });
const orderly = [
  'serving',
  'stopping',
  'onRelease begins',
  'bye because released',
  'onRelease is done',
  'caught SIGTERM',
  'saved',
];

describe('a host that runs, and is stopped by an operator', () => {
  test('onRelease, SIGTERM, and the end that the guest needs', async () => {
    await start({ command: guest(0.5), onRelease: says('bye'), onDrain: says('wrong') });
    expect(await order('stop')).toMatchObject({ ok: true, state: 'imagined' });
    expect(heard()).toEqual(orderly);
    expect(family(sandbox().pid)).toEqual([sandbox().pid]);
    const { detail } = await event('command-done');
    expect(detail).toMatchObject({ command: 'onRelease', why: 'released', tookMs: expect.any(Number) });
    const all = names();
    expect(all.slice(all.indexOf('ending'))).toEqual(['ending', 'command-done', 'released']);
  });

  test('a guest that ignores SIGTERM is killed after stopTimeout', async () => {
    await start({ command: guest('never'), stopTimeout: 700 });
    const began = performance.now();
    await order('stop');
    const took = performance.now() - began;
    expect(family(sandbox().pid)).toEqual([sandbox().pid]);
    expect(took).toBeGreaterThan(690);
    expect(took).toBeLessThan(2_000);
  });

  test('a guest that takes longer than the default has its stopTimeout', async () => {
    await start({ command: guest(2.5), stopTimeout: 10_000 });
    await order('stop');
    expect(heard()).toEqual(['serving', 'stopping', 'caught SIGTERM', 'saved']);
  });

  test.each<[string, readonly string[], string]>([
    ['fails', fails, "'/bin/sh' exited with code 4"],
    ['hangs', hangs, "'/bin/sh' took longer than 400 ms"],
    ['is not there', ['/no/such'], "'/no/such' could not be started: spawn /no/such ENOENT"],
  ])('a command that %s: operators see it, and the host ends', async (_how, onRelease, reason) => {
    await start({ onRelease, drainTimeout: 400 });
    expect(await order('stop')).toMatchObject({ ok: true });
    expect((await event('command-failed')).detail).toMatchObject({ command: 'onRelease', why: 'released', reason });
    expect(await sandbox().logged(noted('onRelease failed'))).toMatchObject({ level: 'warn' });
    expect(heard().slice(-2)).toEqual(['caught SIGTERM', 'saved']);
    expect(family(sandbox().pid)).toEqual([sandbox().pid]);
  });

  test('a guest that ends during its command has been released, and is not started again', async () => {
    await start({ onRelease: ['/bin/sh', '-c', 'kill -KILL $(pgrep -P $PPID python3)'], restartPolicy: 'always' });
    await order('stop');
    expect(names()).toContain('released');
    expect(names()).not.toContain('restarting');
  });

  test('a connect meanwhile waits for the end, and starts the next epoch', async () => {
    await start({ command: guest(0.5), onRelease: says('bye') });
    const client = await cluster.client();
    const stopping = order('stop');
    await event('ending');
    const locating = client.locate('web', 1).catch((error: Error) => error.message);
    await stopping;
    await event('allocating', ({ detail }) => detail.port === 1);
    expect(names().indexOf('released')).toBeLessThan(names().lastIndexOf('allocating'));
    expect(heard().slice(0, orderly.length)).toEqual(orderly);
    expect(await locating).toContain('not on 1');
  });
});

describe('a host that is suspended', () => {
  const quiet: Host = { idleTimeout: 200, onRelease: says('bye'), onDrain: says('wrong') };

  test('after releaseTimeout: onRelease, SIGTERM; how the command went comes with the result', async () => {
    await start({ ...quiet, command: guest(0.5), releaseTimeout: 500 });
    await event('released');
    expect(heard()).toEqual(orderly);
    expect((await event('command-done')).detail).toMatchObject({ command: 'onRelease', why: 'released' });
  });

  test.each(['stop', 'release'] as const)('by an order to %s: the same', async (command) => {
    await start({ ...quiet, command: guest(0.5) });
    await event('suspended');
    expect(await order(command)).toMatchObject({ ok: true, state: 'imagined' });
    expect(heard()).toEqual(orderly);
  });

  test('a command that hangs ends at its time, and operators see it', async () => {
    await start({ ...quiet, onRelease: hangs, drainTimeout: 400, releaseTimeout: 300 });
    await event('released');
    expect((await event('command-failed')).detail.reason).toBe("'/bin/sh' took longer than 400 ms");
    expect(heard().slice(-2)).toEqual(['caught SIGTERM', 'saved']);
  });

  test('the cluster goes down: also this host ends in order', async () => {
    await start({ ...quiet, command: guest(0.5) });
    await event('suspended');
    await cluster.seed.stop({ down: true });
    expect(heard()).toEqual(orderly);
  });

  test('its command never makes the function miss its deadline', async () => {
    await start(
      {
        ...quiet,
        onRelease: hangs,
        drainTimeout: 4_000,
        stopTimeout: 4_000,
        releaseTimeout: 300,
        command: guest('never'),
      },
      { timeout: 16_000 },
    );
    await event('suspended');
    const [{ invocation }] = cluster.lambda.requests;
    const began = performance.now();
    // As a platform that gives little time.
    expect(await sandbox().invoke({ ...invocation, action: 'release' }, 2_000)).toMatchObject({ outcome: 'released' });
    expect(performance.now() - began).toBeLessThan(2_000);
    expect(heard()).toContain('onRelease failed');
  });
});

test('the cluster goes down while the host runs: onRelease, SIGTERM', async () => {
  await start({ command: guest(0.5), onRelease: says('bye') });
  await cluster.seed.stop({ down: true });
  expect(heard()).toEqual(orderly);
});

test('a guest that ends by itself: no command', async () => {
  await start({ onRelease: says('wrong'), onDrain: says('wrong') });
  process.kill(family(sandbox().pid)[1], 'SIGKILL');
  await event('exited');
  expect(heard()).toEqual(['serving']);
});

describe("the function's time is nearly up", () => {
  test('onDrain, and the guest goes on in the same sandbox', async () => {
    await start(
      { onDrain: says('save'), onRelease: says('wrong'), drainTimeout: 1_000, stopTimeout: 500 },
      { timeout: 4_000 },
    );
    const [guestPid] = family(sandbox().pid).slice(1);
    const { detail } = await event('command-done');
    expect(detail).toMatchObject({ command: 'onDrain', why: 'renewal' });
    await event('rejoined');
    expect(
      names()
        .filter((name) => name !== 'command-done')
        .slice(-2),
    ).toEqual(['invoked', 'rejoined']);
    expect(heard()).toEqual(['serving', 'onDrain begins', 'save because renewal', 'onDrain is done']);
    expect(family(sandbox().pid)).toContain(guestPid);
  });

  test.each<[string, readonly string[], string]>([
    ['fails', fails, "'/bin/sh' exited with code 4"],
    ['hangs', hangs, "'/bin/sh' took longer than "],
  ])('a command that %s: operators see it, and the host is renewed in time', async (_how, onDrain, reason) => {
    await start({ onDrain, drainTimeout: 1_500, stopTimeout: 500 }, { timeout: 4_000 });
    expect((await event('command-failed')).detail.reason).toContain(reason);
    await event('rejoined');
    expect(names()).not.toContain('failed');
    expect(names()).not.toContain('replaced');
  });

  test('a stop during the command ends that', async () => {
    await start({ onDrain: hangs, onRelease: says('bye'), drainTimeout: 3_000, stopTimeout: 500 }, { timeout: 8_000 });
    await sandbox().logged(({ line }) => line === 'begun');
    expect(await order('stop')).toMatchObject({ ok: true });
    expect(heard().filter((line) => line !== 'onDrain failed')).toEqual([
      'serving',
      'onDrain begins',
      'begun',
      ...orderly.slice(1),
    ]);
    expect(names()).not.toContain('renewing');
  });

  test('the next invocation lands in another sandbox: the guest in the old one says good-bye', async () => {
    const route = ({ action }: Invocation) => (action === 'run' && sandboxes.length > 0 ? 1 : 0);
    await start(
      { onDrain: says('move'), command: guest(0.5), drainTimeout: 1_000, stopTimeout: 1_000 },
      { timeout: 6_000 },
      route,
    );
    await event('replaced');
    const { detail } = await event('drained');
    expect(detail.note).toBeUndefined();
    const done = cluster.events.filter(({ event }) => event === 'command-done').map(({ detail: { why } }) => why);
    expect(done).toEqual(['renewal', 'replaced']);
    expect(heard().slice(-6)).toEqual([
      ...['stopping', 'onDrain begins', 'move because replaced', 'onDrain is done', 'caught SIGTERM', 'saved'],
    ]);
    expect(family(sandbox().pid)).toEqual([sandbox().pid]);
    await sandbox(1).logged(({ line }) => line === 'serving');
    expect(family(sandbox(1).pid).length).toBeGreaterThan(1);
  });

  test('the old sandbox is gone: a third one has nothing to end', async () => {
    const route = ({ action }: Invocation) => (action === 'drain' ? 2 : Math.min(sandboxes.length, 1));
    await start({ onDrain: says('move'), drainTimeout: 1_000, stopTimeout: 1_000 }, { timeout: 6_000 }, route);
    expect((await event('drained')).detail.note).toBeUndefined();
    expect(heard(2)).toEqual([]);
  });
});

test('the old sandbox cannot be reached where the function has a reserved concurrency: one try', async () => {
  const route = () => Math.min(sandboxes.length, 1);
  const times = { drainTimeout: 1_000, stopTimeout: 1_000 };
  await start({ onDrain: says('move'), ...times }, { timeout: 6_000 }, route, true);
  expect((await event('drained')).detail.note).toContain('could not be started');
  expect(cluster.lambda.requests.map(({ invocation: { action } }) => action)).toEqual(['run', 'run', 'drain']);
});

describe('a newer epoch has joined', () => {
  const newer = ({ epoch }: Invocation, by: number) => {
    const secret = cluster.access(`host/web/${epoch + by}`).secret.toString('base64');
    return { ...cluster.lambda.requests[0].invocation, epoch: epoch + by, secret };
  };

  test('while this one runs: onDrain, SIGTERM', async () => {
    await start({ onDrain: says('move'), onRelease: says('wrong'), command: guest(0.5) });
    await cluster.supervise(newer(cluster.lambda.requests[0].invocation, 1));
    await sandbox().logged(({ line }) => line === 'saved');
    expect((await event('command-done')).detail).toMatchObject({ command: 'onDrain', why: 'replaced' });
    expect(heard().slice(1)).toEqual([
      ...['stopping', 'onDrain begins', 'move because replaced', 'onDrain is done', 'caught SIGTERM', 'saved'],
    ]);
  });

  test('while this one was suspended: the same, when it is invoked again', async () => {
    await start({ onDrain: says('move'), command: guest(0.5), idleTimeout: 200 });
    await event('suspended');
    const [{ invocation }] = cluster.lambda.requests;
    await cluster.supervise(newer(invocation, 1));
    expect(await sandbox().invoke(invocation)).toMatchObject({
      outcome: 'fenced',
      commands: [{ command: 'onDrain', why: 'replaced', tookMs: expect.any(Number) }],
    });
    expect(heard().slice(-2)).toEqual(['caught SIGTERM', 'saved']);
  });

  test('and the sandbox is to be another epoch: connects wait for that, so the old guest ends at once', async () => {
    await start({ onDrain: says('wrong'), onRelease: says('wrong'), idleTimeout: 200 });
    await event('suspended');
    const [{ invocation }] = cluster.lambda.requests;
    const next = newer(invocation, 5);
    const running = sandbox().invoke({ ...next, oldest: next.epoch });
    await event('running', ({ detail }) => detail.epoch === next.epoch);
    expect(heard().filter((line) => line.startsWith('on'))).toEqual([]);
    await order('stop');
    expect(await running).toMatchObject({ outcome: 'released' });
  });
});

test('the sandbox is shut down: onDrain for a moment, SIGTERM', async () => {
  await start({ onDrain: says('save'), onRelease: says('wrong') });
  sandbox().shutdown();
  expect(await sandbox().exited).toBe(0);
  expect(heard()).toEqual([
    ...['serving', 'stopping', 'onDrain begins', 'save because shutdown', 'onDrain is done', 'caught SIGTERM', 'saved'],
  ]);
});

test('the sandbox is shut down while its host is suspended: the same; a command that hangs does not hold it up', async () => {
  await start({ onDrain: hangs, idleTimeout: 200 });
  await event('suspended');
  const began = performance.now();
  sandbox().shutdown();
  expect(await sandbox().exited).toBe(0);
  expect(performance.now() - began).toBeLessThan(1_900);
  expect(heard()).toEqual(['serving', 'onDrain begins', 'begun', 'onDrain failed', 'caught SIGTERM', 'saved']);
});

/**
 * A process around a sandbox is killed, while the sandbox runs and while it is frozen: its host is usable again at
 * once.
 */
import { readdirSync, readFileSync } from 'node:fs';
import { cgroupPrefix } from '../../../src/local/sandbox/cgroup';
import { eventually } from '../../support/eventually';
import { mentioning, processesOf, running, signal } from '../../support/processes';
import { type Booted, bootFunctions, plain } from '../boot';

const read = (file: string) => {
  try {
    return readFileSync(file, 'utf8');
  } catch {
    return ''; // it has ended
  }
};

const parentOf = (pid: number) => Number(/^PPid:\s*(\d+)/m.exec(read(`/proc/${pid}/status`))?.[1]);

let sleeps = 3_700;
describe.each(['auto', 'none'] as const)('sandbox: %s', (sandbox) => {
  let booted: Booted;
  let stopped = true;
  beforeEach(async () => {
    if (stopped) booted = await bootFunctions([plain({ name: 'one', timeout: 20_000 })], { sandbox });
    stopped = false;
  }, 30_000);
  afterAll(() => booted?.dispose());
  const stop = async () => {
    stopped = true;
    await booted.platform.stop();
    await booted.dispose();
  };

  const launchers = () => mentioning('/sandbox --control').filter(ofThis);
  /**
   * The launcher, the sandbox's first process (where it is another one than the client), the runtime client, a guest.
   */
  const find = {
    launcher: () => launchers().filter((pid) => parentOf(pid) === process.pid),
    init: () => launchers().filter((pid) => parentOf(pid) !== process.pid),
    client: () => processesOf('one').filter((pid) => /bootstrap\.js/.test(read(`/proc/${pid}/cmdline`))),
    guest: () => running(`/bin/sleep ${sleeps}`),
  };
  const ofThis = (pid: number) => read(`/proc/${pid}/environ`).includes('AWS_LAMBDA_FUNCTION_NAME=one');

  test.each([
    ['launcher', 'frozen'],
    ['launcher', 'running'],
    ['launcher', 'stopped'],
    ['init', 'frozen'],
    ['init', 'running'],
    ['client', 'frozen'],
    ['client', 'running'],
    ['guest', 'frozen'],
    ['guest', 'running'],
  ] as const)(
    'the %s, %s',
    async (which, state) => {
      sleeps++;
      const { started } = await booted.call({ do: 'wait', ms: 1 }, 'one');
      await booted.call({ do: 'leave', seconds: sleeps }, 'one');
      const before = [...launchers(), ...processesOf('one'), ...find.guest()].filter(ofThis);
      expect(find.guest()).toHaveLength(1);
      const victims = find[which]().filter(ofThis);
      // On a machine without namespaces the client is the first process.
      if (victims.length === 0) return void expect([which, sandbox]).toEqual(['init', 'none']);
      const hanging = state === 'running' ? booted.error({ do: 'wait', ms: 300 }, 'one').catch((e) => e) : undefined;
      if (hanging) await eventually(() => /START(?!.*END)/s.test(lastOf(booted, 'one')));
      signal(victims, state === 'stopped' ? 'SIGSTOP' : 'SIGKILL');
      if (state === 'stopped') {
        // It does not answer: nothing ends by itself, but the platform does not wait for it for ever.
        const from = Date.now();
        await stop();
        expect(Date.now() - from).toBeLessThan(12_000);
      } else {
        const from = Date.now();
        await hanging;
        // What is killed while it is frozen may be seen by the next invocation only.
        const call = () => booted.call({ do: 'wait', ms: 1 }, 'one');
        const after = await call().catch(call);
        expect(Date.now() - from).toBeLessThan(5_000);
        if (which === 'guest') return void expect(after.started).toBe(started);
        expect(after.started).not.toBe(started);
      }
      await eventually(() => before.filter((pid) => ofThis(pid)).length === 0);
      expect(find.guest()).toEqual([]);
    },
    40_000,
  );

  test('and stop leaves nothing, at once', async () => {
    await booted.call({ do: 'leave', seconds: ++sleeps }, 'one');
    signal(find.launcher(), 'SIGKILL');
    const from = Date.now();
    await stop();
    expect(Date.now() - from).toBeLessThan(5_000);
    expect(find.guest()).toEqual([]);
    expect(mentioning(cgroupPrefix(booted.stateDir))).toEqual([]);
  }, 30_000);
});

const lastOf = (booted: Booted, name: string) =>
  read(`${booted.platform.info.logDir}/${name}.log`)
    .split('START')
    .slice(-1)
    .map((text) => `START${text}`)[0] ?? '';

test('the launcher of the seed: another seed is started', async () => {
  const booted = await bootFunctions([plain()]);
  try {
    const launchers = () =>
      mentioning(`seed.js --manifest ${booted.platform.info.manifestFile}`).filter((pid) =>
        read(`/proc/${pid}/cmdline`).includes('--control'),
      );
    const [first] = launchers();
    process.kill(first, 'SIGKILL');
    await eventually(() => launchers().length === 1 && launchers()[0] !== first);
    const seeds = () =>
      mentioning(`seed.js --manifest ${booted.platform.info.manifestFile}`).filter(
        (pid) => !read(`/proc/${pid}/cmdline`).includes('--control'),
      );
    await eventually(() => seeds().length === 1);
    expect(readdirSync('/proc')).toContain(String(seeds()[0]));
  } finally {
    await booted.dispose();
  }
}, 30_000);

/** A command beside a guest: every way in which it can end. */
import { tmpdir } from 'node:os';
import { type BesideCommand, runBeside } from '../../../../src/runtime/supervisor/guest/command';
import { eventually } from '../../../support/eventually';

const run = async (command: readonly string[], more: Partial<BesideCommand> = {}) => {
  const said = { stdout: '', stderr: '' };
  const began = performance.now();
  const finding = await runBeside(
    { command, environment: { PATH: '/usr/bin:/bin', WORD: 'here' }, directory: tmpdir(), timeout: 20_000, ...more },
    { stdout: (chunk) => (said.stdout += chunk), stderr: (chunk) => (said.stderr += chunk) },
  );
  return { finding, ...said, took: performance.now() - began };
};
const sh = (script: string) => ['/bin/sh', '-c', script];
const alive = (pid: number) => {
  try {
    return process.kill(pid, 0);
  } catch {
    return false;
  }
};

test.each<[string, readonly string[], Partial<BesideCommand>, string | undefined]>([
  ['it exits with 0', sh('exit 0'), {}, undefined],
  ['it exits with another code', sh('exit 7'), {}, "'/bin/sh' exited with code 7"],
  ['a signal ends it', sh('kill -TERM $$'), {}, "'/bin/sh' was ended by SIGTERM"],
  ['there is no such program', ['/no/such'], {}, "'/no/such' could not be started: spawn /no/such ENOENT"],
  [
    'there is no such directory',
    sh('true'),
    { directory: '/no/such' },
    "'/bin/sh' could not be started: spawn /bin/sh",
  ],
  ['it is no command', ['a\0b'], {}, 'could not be started: '],
])('%s', async (_how, command, more, finding) => {
  const found = (await run(command, more)).finding;
  if (finding === undefined) expect(found).toBeUndefined();
  else expect(found).toContain(finding);
});

test('it has its environment and its directory, and is heard to its last word', async () => {
  const many = 'i=0; while [ $i -lt 5000 ]; do echo line $i; i=$((i+1)); done';
  const { stdout, stderr } = await run(sh(`${many}; echo "$WORD $(pwd)"; echo bad >&2`));
  const lines = stdout.trim().split('\n');
  expect(lines).toHaveLength(5_001);
  expect(lines.at(-1)).toBe(`here ${tmpdir()}`);
  expect(stderr).toBe('bad\n');
});

test('one that takes too long is killed, with all that it has started', async () => {
  const { finding, stdout, took } = await run(sh('sleep 60 & echo $!; wait'), { timeout: 300 });
  expect(finding).toBe("'/bin/sh' took longer than 300 ms");
  expect(took).toBeLessThan(5_000);
  await eventually(() => !alive(Number(stdout)));
});

test('one that ignores SIGTERM is killed as well', async () => {
  const { finding } = await run(sh("trap '' TERM; while :; do sleep 1; done"), { timeout: 300 });
  expect(finding).toBe("'/bin/sh' took longer than 300 ms");
});

test('a process of another group that holds its output is not waited for', async () => {
  const { finding, stdout, took } = await run(sh('setsid sleep 60 & echo $!; exit 0'));
  expect(finding).toBeUndefined();
  expect(took).toBeLessThan(10_000);
  process.kill(Number(stdout), 'SIGKILL');
});

test('one that is not wanted any more is killed, also before it has begun', async () => {
  const controller = new AbortController();
  const running = run(sh('sleep 60'), { signal: controller.signal });
  controller.abort();
  expect((await running).finding).toBe("'/bin/sh' was ended before it was done");
  expect((await run(sh('sleep 60'), { signal: AbortSignal.abort() })).finding).toContain('was ended before');
});

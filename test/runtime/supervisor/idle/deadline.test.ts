/** Timers of a real process, as the kernel shows them. */
import { type ChildProcess, spawn } from 'node:child_process';
import { createInterface } from 'node:readline';
import { nextDeadline } from '../../../../src/runtime/supervisor/idle/deadline';
import { python } from '../../../support/guests';

jest.setTimeout(30_000);

const PROGRAM = `
import ctypes, sys
libc = ctypes.CDLL(None)
class spec(ctypes.Structure):
  _fields_ = [(name, ctypes.c_long) for name in ('every_s', 'every_ns', 'in_s', 'in_ns')]
for pair in sys.argv[1:]:
  first, every = map(int, pair.split('/'))
  fd = libc.timerfd_create(1, 0)
  wanted = spec(every // 1000, every % 1000 * 1000000, first // 1000, first % 1000 * 1000000)
  assert libc.timerfd_settime(fd, 0, ctypes.byref(wanted), None) == 0
print('ready', flush=True)
sys.stdin.read()
`;

const children: ChildProcess[] = [];
afterEach(() => {
  for (const child of children.splice(0)) child.kill('SIGKILL');
});

/** @param timers first expiry and interval, in milliseconds: `FIRST/EVERY` */
async function processWith(...timers: string[]): Promise<number> {
  const child = spawn(python, ['-c', PROGRAM, ...timers], { stdio: 'pipe' });
  children.push(child);
  const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
  expect((await lines.next()).value).toBe('ready');
  return child.pid!;
}

const IDLE = 60_000;

test.each<[string, string[], number | undefined]>([
  ['none', [], undefined],
  ['one', ['3600000/0'], 3_600_000],
  ['the earliest of several', ['3600000/0', '90000/0', '7200000/0'], 90_000],
  ['one that is not set', ['0/0'], undefined],
  ['housekeeping: a short one', ['900/0', '500/500'], undefined],
  ['housekeeping: one that fires again and again', ['5000/5000'], undefined],
  ['one that fires seldom', ['5000/600000'], 5_000],
])('%s', async (_, timers, expected) => {
  const found = nextDeadline([await processWith(...timers)], IDLE);
  if (expected === undefined) expect(found).toBeUndefined();
  else expect(Math.abs(found! - expected)).toBeLessThan(2_000);
});

test('of all processes; those that have ended have none', async () => {
  const pids = [await processWith('3600000/0'), await processWith('90000/0'), 2 ** 22 - 1];
  expect(nextDeadline(pids, IDLE)).toBeGreaterThan(80_000);
  expect(nextDeadline(pids, IDLE)).toBeLessThanOrEqual(90_000);
});

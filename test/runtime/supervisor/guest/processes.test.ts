/** Guests are found by their mark alone, at whatever moment they are looked for. */
import { execFileSync } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { trackGuests } from '../../../../src/runtime/supervisor/guest/processes';

const MARK = 'IMAGINARY_TEST_GUEST=1';
const folder = mkdtempSync(join(tmpdir(), 'imaginary-processes-'));
const started: number[] = [];

afterAll(() => {
  for (const pid of started) {
    try {
      process.kill(pid, 'SIGKILL');
    } catch {
      // it has ended
    }
  }
  rmSync(folder, { recursive: true });
});

/** In a session of its own, whose parent has ended. @returns its pid, once it runs */
function daemon(program: string, env: NodeJS.ProcessEnv): number {
  const file = join(folder, `pid-${started.length}`);
  const script = `setsid ${program} & echo $! > ${file}`;
  execFileSync('/bin/sh', ['-c', script], { env: { PATH: process.env.PATH, ...env }, stdio: 'ignore' });
  const pid = Number(readFileSync(file, 'latin1'));
  started.push(pid);
  return pid;
}

const marked = { [MARK.split('=')[0]]: '1' };
const look = (mapped = '/nothing') => trackGuests({ environment: MARK, mapped });

/** Has its program replaced all the time: by itself. */
function restless(env: NodeJS.ProcessEnv): number {
  const script = join(folder, 'restless');
  if (!existsSync(script)) writeFileSync(script, '#!/bin/sh\nexec "$0"\n', { mode: 0o755 });
  return daemon(script, env);
}

test('a guest is listed, or undecided, while the kernel replaces its program', () => {
  const pid = restless(marked);
  const seen = { listed: 0, undecided: 0, missed: 0 };
  for (const limit = performance.now() + 20_000; performance.now() < limit && seen.listed + seen.undecided < 3_000; ) {
    // Anew each time: what was found once is known from then on.
    const guests = look();
    if (guests.list().some((guest) => guest.pid === pid)) seen.listed += 1;
    else if (guests.undecided) seen.undecided += 1;
    else seen.missed += 1;
  }
  expect(seen.missed).toBe(0);
  expect(seen.listed).toBeGreaterThan(0);
});

test('one that was undecided is listed later', () => {
  const pid = restless(marked);
  let guests = look();
  let found = false;
  for (const limit = performance.now() + 20_000; performance.now() < limit && !found; guests = look()) {
    if (guests.list().length > 0 || !guests.undecided) continue;
    while (!found && performance.now() < limit) found = guests.list().some((guest) => guest.pid === pid);
  }
  expect(found).toBe(true);
});

test.each([
  ['another environment', ''],
  ['no environment at all', 'env -i'],
])('a stranger with %s is neither listed nor undecided', (_, prefix) => {
  const pid = daemon(`${prefix} sleep 300`, {});
  const guests = look();
  const isSleep = () => readFileSync(`/proc/${pid}/comm`, 'latin1') === 'sleep\n';
  for (const limit = performance.now() + 10_000; !isSleep() && performance.now() < limit; );
  const pids = () => guests.list().map((guest) => guest.pid);
  expect(pids()).not.toContain(pid);
  // Others that start at this moment may be undecided.
  for (const limit = performance.now() + 10_000; guests.undecided && performance.now() < limit; ) pids();
  expect(guests.undecided).toBe(false);
});

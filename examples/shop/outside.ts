/** The shop from outside of the cluster: its exposed port for a browser, a forwarded one for redis-cli, and who opens them. */
import { spawnSync } from 'node:child_process';
import { createInterface } from 'node:readline/promises';
import { exposed, keep, now } from './imaginary';
import { check, indent, ms, paint, print } from './say';
import type { Shop } from './shop';

export interface Outside {
  readonly url: string;
  /** Which browser has opened it; null: none is installed. */
  readonly browser: string | null;
}

/** Without a display, all of them. */
const BROWSERS = ['chromium-headless-shell', 'chromium', 'google-chrome'];
const PAGE = 'The shop is open';
/** For a browser and for redis-cli, milliseconds. */
const LIMIT = 60_000;

/** Opens the shop from this machine, as anybody would; `meanwhile` it can be reached. */
export async function fromOutside(
  shop: Shop,
  orders: number,
  meanwhile: (url: string) => Promise<void>,
): Promise<Outside> {
  const url = `${await exposed('web')}/`;
  print(`\n  'imaginary up' has said: ${paint('1;4', url)} is web, an exposed port`);
  const forward = await keep('forward', '0:redis:6379');
  try {
    const [redis] = forward.lines.map((line) => line.split(' -> ')[0]);
    await show(shop, 'curl', ['-sS', '--fail-with-body', url], 'curl', PAGE);
    const found = BROWSERS.find((name) => spawnSync(name, ['--version']).status === 0);
    if (found) await show(shop, found, [...HEADLESS, '--dump-dom', url], 'browser', PAGE);
    else print(`  ${paint('33', '–')} no browser is installed that needs no display (${BROWSERS.join(', ')})`);
    await show(shop, 'redis-cli', ['-p', redis.split(':')[1], 'GET', 'orders'], 'redis-cli', `${orders}`);
    await meanwhile(url);
    return { url, browser: found ?? null };
  } finally {
    await forward.end();
  }
}

/** Root may not use the sandbox of a browser; there is no /dev/shm in some containers. */
const HEADLESS = ['--headless', '--no-sandbox', '--disable-gpu', '--disable-dev-shm-usage', `--timeout=${LIMIT / 2}`];

/** Runs an ordinary program of this machine, and checks what it has printed. */
async function show(
  shop: Shop,
  program: string,
  args: readonly string[],
  label: string,
  expected: string,
): Promise<void> {
  print(`\n  ${paint('1', `$ ${[program, ...args].join(' ')}`)}`);
  const from = now();
  const run = spawnSync(program, args, { encoding: 'utf8', timeout: LIMIT });
  const to = now();
  shop.marks.push({ from, to, label });
  print(indent(run.stdout || run.stderr || String(run.error)));
  const holds = run.status === 0 && run.stdout.includes(expected);
  check(holds, `${label} has got '${expected}', after ${ms(to - from)}`, `exit code ${run.status}\n${run.stderr}`);
}

/** At a terminal the shop stays open until Enter. */
export async function stayOpen(url: string): Promise<void> {
  if (!process.stdin.isTTY || !process.stdout.isTTY) return;
  const lines = createInterface({ input: process.stdin, output: process.stdout });
  await lines.question(`\n  The shop is at ${paint('1;4', url)}: open it in a browser. Enter takes everything down. `);
  lines.close();
}

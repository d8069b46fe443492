/** What is typed after `imaginary forward`, and what is said of connects that fail. */
import { chmodSync, writeFileSync } from 'node:fs';
import { constants } from 'node:os';
import { join } from 'node:path';
import { browser } from '../../src/cli/commands/open';
import { Causes, FULL } from '../../src/cli/forward/causes';
import { parseTargets } from '../../src/cli/forward/target';
import { imaginary, temporaryFolder } from './run';

test.each([
  [['db:5432'], [{ host: 'db', port: 5432 }]],
  [['15432:db.shop:5432'], [{ local: 15432, host: 'db.shop', port: 5432 }]],
  [['0:db:1', '0:db:65535'], [1, 65535].map((port) => ({ local: 0, host: 'db', port }))],
])('%j', (given, parsed) => {
  expect(parseTargets(given)).toEqual(parsed);
});

test.each([
  [['db'], "'db' is no forward"],
  [['1:2:3:4'], "'1:2:3:4' is no forward"],
  [[''], "'' is no forward"],
  [[':80'], "':80' has '' where the name of a host is expected"],
  [['-x:80'], "'-x:80' has '-x' where the name of a host is expected"],
  [['db:0'], "'db:0' has '0' where the port of a host is expected"],
  [['db:65536'], "'db:65536' has '65536' where the port of a host is expected"],
  [['db:http'], "'db:http' has 'http' where the port of a host is expected"],
  [['db:'], "'db:' has '' where the port of a host is expected"],
  [['65536:db:1'], "'65536:db:1' has '65536' where a local port (0: any that is free) is expected"],
  [[':db:1'], "':db:1' has '' where a local port (0: any that is free) is expected"],
  [['1000:a:1', '1000:b:1'], 'the local port 1000 is given twice'],
  [Array(65).fill('0:a:1'), '65 forwards are given, at most 64 are allowed'],
])('%j is refused', (given, message) => {
  expect(() => parseTargets(given)).toThrow(expect.objectContaining({ message, exitCode: 2 }));
});

test.each([
  [['forward'], /missing required argument/],
  [['forward', '--bind', '::1', 'db:1'], /'::1' is invalid. It must be an IPv4 address/],
  [['forward', '--max-connections', '0', 'db:1'], /'0' is invalid. It must be 1 to 100000/],
  [['forward', '--max-connections', '100001', 'db:1'], /'100001' is invalid. It must be 1 to 100000/],
  [['forward', 'db'], /'db' is no forward/],
])('%j: exit code 2', (args, message) => {
  const { code, stdout, stderr } = imaginary(args);
  expect([code, stdout]).toEqual([2, '']);
  expect(stderr).toMatch(message);
});

test('a browser is opened where there is a display and a program for it', () => {
  const folder = temporaryFolder();
  const env = { PATH: `/nowhere:${folder}` };
  for (const name of ['open', 'xdg-open']) {
    writeFileSync(join(folder, name), '');
    expect(browser({ ...env, DISPLAY: ':0' }, name === 'open' ? 'darwin' : 'linux')).toBeUndefined();
    chmodSync(join(folder, name), 0o755);
  }
  expect(browser(env, 'linux')).toBeUndefined();
  expect(browser({ DISPLAY: ':0' }, 'linux')).toBeUndefined();
  expect(browser({ ...env, DISPLAY: ':0' }, 'linux')).toBe(join(folder, 'xdg-open'));
  expect(browser({ ...env, WAYLAND_DISPLAY: 'wayland-0' }, 'linux')).toBe(join(folder, 'xdg-open'));
  expect(browser(env, 'darwin')).toBe(join(folder, 'open'));
});

describe('causes', () => {
  const { ECONNREFUSED, ETIMEDOUT } = constants.errno;
  test('one line for each cause, with its reason, until the host connects again', () => {
    const lines: string[] = [];
    const causes = new Causes((line) => lines.push(line));
    const refuse = (epoch: number) => {
      causes.refused({ to: 'db:1', errno: 'ECONNREFUSED', reason: `epoch ${epoch} has ended` });
      causes.failed('db:1', ECONNREFUSED, 1);
    };
    refuse(1);
    refuse(2);
    causes.failed('db:1', ETIMEDOUT, 1);
    causes.failed('db:2', ETIMEDOUT, 1);
    causes.failed('db:2', FULL, 10);
    causes.failed('db:2', 4_000, 1);
    expect(lines).toEqual([
      'connect to db:1: ECONNREFUSED: epoch 1 has ended',
      'connect to db:1: ETIMEDOUT',
      'connect to db:2: ETIMEDOUT',
      'a connection to db:2 was refused: there are 10 connections, and no more are allowed',
      'connect to db:2: Unknown system error -4000',
    ]);
    causes.connected('db:1');
    refuse(3);
    expect(lines.at(-1)).toBe('connect to db:1: ECONNREFUSED: epoch 3 has ended');
  });

  test('of one destination no more than 32', () => {
    const lines: string[] = [];
    const causes = new Causes((line) => lines.push(line));
    for (let i = 0; i < 100; i++) {
      const reason = String.fromCharCode(0x4e00 + i);
      causes.refused({ to: 'db:1', errno: 'ECONNREFUSED', reason });
      causes.failed('db:1', ECONNREFUSED, 1);
    }
    expect(lines).toHaveLength(32);
  });
});

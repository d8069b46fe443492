/** What people and programs read: next steps, times, lines that fit, logs of several clusters. */
import { appendFileSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { eventText } from '../../src/cli/commands/events';
import { statusText } from '../../src/cli/commands/ps';
import { bootedText } from '../../src/cli/commands/up';
import { foreseen } from '../../src/cli/output/foreseen';
import { bootLine } from '../../src/cli/output/log-line';
import { servicesOf, serviceTexts } from '../../src/cli/output/services';
import { fold, isoMicro, type Paint } from '../../src/cli/output/terminal';
import { withState } from '../../src/cli/target/state';
import { parseManifest } from '../../src/contract/manifest';
import { imaginary, temporaryFolder } from './run';

const plain: Paint = (_, text) => text;
const widest = (text: string) => Math.max(...text.split('\n').map((line) => line.length));
const words = (text: string) => text.split(/\s+/).filter(Boolean);

const isolation = {
  filesystem: true,
  uid: true,
  pids: true,
  devShm: true,
  memory: true,
  freeze: 'cgroup',
  missing: [],
};
const booted = (hosts: number, stateDir: string, missing: readonly string[] = []) =>
  bootedText(
    {
      cluster: 'shop',
      cidr: '100.64.0.0/16',
      bootMs: 900,
      seed: '198.18.0.1:7000',
      network: { kind: 'nat', range: '198.18.0.0/15', nats: { web: 'port-preserving', api: 'symmetric' } },
      isolation,
      stateDir,
      missing,
      hosts: Array.from({ length: hosts }, (_, i) => ({
        name: `web${i}`,
        address: '100.64.0.2',
        aliases: Array(12).fill('alias'),
      })),
      services: [{ name: 'pool', address: '100.64.9.9', hosts: ['web0', 'web1'] }],
    } as unknown as Parameters<typeof bootedText>[0],
    plain,
    80,
  );

test('services are named with who serves them, instances first', () => {
  expect(booted(1, '/s')).toMatch(/^ {2}pool +100\.64\.9\.9 +service of web0, web1$/m);
  const [service] = parseManifest({
    version: 1,
    cluster: { name: 'shop' },
    hosts: [
      { name: 'web', command: ['nginx'] },
      { name: 'vm', kind: 'instance' },
    ],
    services: [{ name: 'pool', hosts: ['web'], instances: ['vm'], address: '100.64.9.9' }],
  }).services;
  expect(serviceTexts(servicesOf({ services: [service] }))).toEqual(['pool (100.64.9.9) is a service of vm, web']);
});

test('lines are broken between words, and what follows stands below', () => {
  expect(fold('abc defg hi', 8, 2)).toBe('abc defg\n  hi');
  expect(fold('a longerthanall b', 6, 2)).toBe('a\n  longerthanall\n  b');
  expect(fold('\x1b[31mab\x1b[39m cd', 5, 2)).toBe('\x1b[31mab\x1b[39m cd');
  expect(fold('as it is', Number.POSITIVE_INFINITY, 2)).toBe('as it is');
});

test('80 columns: no line is longer, and no word is broken', () => {
  const event = {
    time: 0,
    host: 'web',
    event: 'allocating',
    detail: { by: 'client-1', port: 80, why: 'a'.repeat(30), resume: false, more: 'b'.repeat(30) },
  };
  const host = {
    name: 'web',
    address: '100.64.1.2',
    epoch: null,
    since: 0,
    waiting: 0,
    state: 'failed',
    allocations: 2,
    allocateMs: 1,
  };
  const status = {
    cluster: 'shop',
    cidr: '',
    startedAt: 0,
    hosts: [{ ...host, ports: Array.from({ length: 30 }, (_, i) => 8000 + i), reason: 'no such file '.repeat(12) }],
  };
  const texts = [
    [eventText(event, plain, 80), eventText(event, plain)],
    [statusText(status as never, 0, plain, 80), statusText(status as never, 0, plain)],
    [
      booted(3, '/tmp/x', [
        'something that this machine does not allow, which takes a whole sentence to explain to people',
      ]),
      '',
    ],
  ];
  for (const [folded, whole] of texts) {
    expect(widest(folded)).toBeLessThanOrEqual(80);
    if (whole) {
      expect(widest(whole)).toBeGreaterThan(80);
      expect(words(folded)).toEqual(words(whole));
    }
  }
});

test('how many hosts there are', () => {
  expect(booted(0, '/tmp/x')).toContain('no hosts\n');
  expect(booted(1, '/tmp/x')).toContain('1 host; it is imagined');
});

test('every next step names the state directory that its command would not find', () => {
  const text = booted(1, '/tmp/elsewhere/state');
  const commands = text
    .slice(text.indexOf('next'))
    .replace(/\s+/g, ' ')
    .match(/imaginary [a-z]+[^,]*/g)!;
  expect(commands).toHaveLength(4);
  for (const command of commands) expect(command).toContain('--state');
  expect(withState('imaginary ps', "/tmp/it's here")).toMatch(/^imaginary ps --state '.*it'\\''s here'$/);
  const state = join(temporaryFolder(), 'none');
  for (const command of [['ps'], ['events'], ['logs', 'web'], ['exec', '--', 'true'], ['rotate']]) {
    const { stderr } = imaginary([command[0], '--state', state, ...command.slice(1)]);
    expect(stderr).toMatch(/imaginary up PATH --state /);
  }
});

test('a moment keeps its microseconds and its order', () => {
  const at = Date.parse('2026-11-29T01:02:03.004Z');
  expect(isoMicro(at)).toBe('2026-11-29T01:02:03.004000Z');
  expect(isoMicro(at + 0.25)).toBe('2026-11-29T01:02:03.004250Z');
});

describe('what is known before anything runs', () => {
  const host = { name: 'web', address: '100.64.1.1', functionName: 'shop-web' };
  const manifest = (command: readonly string[]) => ({
    version: 1,
    cluster: { name: 'shop' },
    hosts: [{ ...host, command }],
  });

  test('values that only a deployment knows', () => {
    const folder = temporaryFolder();
    const write = (name: string, content: object) => writeFileSync(join(folder, name), JSON.stringify(content));
    mkdirSync(join(folder, 'code'));
    write('m.json', manifest(['/usr/bin/env']));
    write('s.assets.json', {
      files: { code: { source: { path: 'code' }, destinations: { here: { objectKey: 'code.zip' } } } },
    });
    const variables = {
      P: '{{resolve:secretsmanager:db:SecretString:::}}',
      Q: 'a-{{resolve:ssm:x}}',
      B: { Ref: 'Bucket' },
      PLAIN: 'x',
    };
    const fn = { FunctionName: 'shop-web', Code: { S3Key: 'code.zip' }, Environment: { Variables: variables } };
    write('s.template.json', {
      Resources: {
        Seed: { Type: 'AWS::EC2::Instance', Metadata: { 'imaginary:manifest': { path: 'm.json' } } },
        Web: { Type: 'AWS::Lambda::Function', Properties: fn },
      },
    });
    write('manifest.json', {
      artifacts: { s: { type: 'aws:cloudformation:stack', properties: { templateFile: 's.template.json' } } },
    });
    expect(foreseen({ assembly: folder }, undefined)).toEqual(
      ['P', 'Q', 'B'].map((name) => `web: ${name} (known only after deployment)`),
    );
  });

  test.each([['/var/task/srv'], ['./srv'], ['bin/../srv']])(
    'a program of the code that cannot be a guest: %s',
    (program) => {
      const folder = temporaryFolder();
      const source = join(folder, 'manifest.json');
      mkdirSync(join(folder, 'bin'));
      writeFileSync(source, JSON.stringify(manifest([program])));
      expect(foreseen({ manifest: source }, undefined)).toEqual([expect.stringContaining('there is no such file')]);
      writeFileSync(join(folder, 'srv'), '#!/bin/sh\n', { mode: 0o755 });
      expect(foreseen({ manifest: source }, undefined)).toEqual([]);
    },
  );
  test('a program of the machine is judged when it starts', () => {
    const folder = temporaryFolder();
    writeFileSync(join(folder, 'manifest.json'), JSON.stringify(manifest(['nginx'])));
    expect(foreseen({ manifest: join(folder, 'manifest.json') }, undefined)).toEqual([]);
  });
});

describe('logs', () => {
  const line = (time: string, host: string, text: string) =>
    `${JSON.stringify({ time, host, stream: 'stdout', line: text })}\n`;
  const state = () => {
    const folder = temporaryFolder();
    mkdirSync(join(folder, 'logs'));
    const host = { address: '100.64.1.1', functionName: 'f', command: ['x'] };
    const hosts = [
      { ...host, name: 'web' },
      { ...host, name: 'api', address: '100.64.1.2', functionName: 'g' },
      { ...host, name: 'idle', address: '100.64.1.3', functionName: 'h' },
    ];
    writeFileSync(join(folder, 'manifest.json'), JSON.stringify({ version: 1, cluster: { name: 'shop' }, hosts }));
    const web = join(folder, 'logs', 'web.log');
    writeFileSync(
      web,
      '2026-01-01T10:00:00.000Z START RequestId: 1\n' + line('2026-01-01T10:00:01.000Z', 'web', 'old'),
    );
    appendFileSync(web, `${bootLine('web')}\n${line('2026-01-03T10:00:00.000Z', 'web', 'new')}`);
    writeFileSync(join(folder, 'logs', 'api.log'), line('2026-01-02T10:00:00.000Z', 'api', 'between'));
    return folder;
  };
  const entries = (...args: string[]) => {
    const { code, stdout } = imaginary(['logs', '--json', ...args]);
    expect(code).toBe(0);
    return stdout
      .split('\n')
      .filter(Boolean)
      .map((text) => JSON.parse(text));
  };

  test('of all hosts, by time; each entry has its time and its host', () => {
    const all = entries('--state', state());
    expect(all.map(({ line: text, boot }) => boot ?? text)).toEqual([
      'START RequestId: 1',
      'old',
      'between',
      'imaginary up',
      'new',
    ]);
    for (const entry of all)
      expect(entry).toMatchObject({
        time: expect.stringMatching(/^\d{4}-.*Z$/),
        host: expect.stringMatching(/^(web|api)$/),
      });
  });
  test('--tail and --since', () => {
    const folder = state();
    expect(entries('--state', folder, '--tail', '1').map((e) => e.line)).toEqual(['new']);
    expect(entries('--state', folder, '--tail', '0')).toEqual([]);
    expect(entries('--state', folder, '--since', '2026-01-02', 'api')).toHaveLength(1);
    expect(entries('--state', folder, '--since', '2026-01-02', 'web').map((e) => e.boot ?? e.line)).toEqual([
      'imaginary up',
      'new',
    ]);
    expect(entries('--state', folder, '--since', '5m', 'api')).toEqual([]);
  });
  test('of both seeds where there are two, by time; of one where there is one', () => {
    const folder = state();
    const log = (name: string, time: string, message: string) =>
      writeFileSync(join(folder, 'logs', name), `${JSON.stringify({ time, level: 'info', message })}\n`);
    log('seed.log', '2026-01-02T10:00:00.000Z', 'second');
    log('seed.standby.log', '2026-01-01T10:00:00.000Z', 'first');
    const read = () => entries('--state', folder, 'seed').map((e) => [e.host, e.message]);
    expect(read()).toEqual([['seed', 'second']]);
    const manifest = join(folder, 'manifest.json');
    const text = { ...JSON.parse(readFileSync(manifest, 'utf8')), seed: { standby: true } };
    writeFileSync(manifest, JSON.stringify(text));
    expect(read()).toEqual([
      ['seed.standby', 'first'],
      ['seed', 'second'],
    ]);
    expect(imaginary(['logs', '--state', folder, 'seed']).stdout).toMatch(/^seed.standby .*first$/m);
  });
  test('days and clusters are told apart', () => {
    const { stdout } = imaginary(['logs', '--state', state()], { env: { TZ: 'UTC' } });
    expect(stdout.match(/^── 2026-01-0[12] ──$/gm)).toHaveLength(2);
    expect(stdout).toMatch(/── \d{4}-\d\d-\d\d \d\d:\d\d:\d\d imaginary up ──/);
    expect(stdout).toMatch(/^web +10:00:01.000 old$/m);
  });
});

/** Seeds as processes, for tests: a folder with the bundle, a manifest and a key, and a Lambda API. */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { copyFileSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { createInterface } from 'node:readline';
import { deriveSecret, parseClusterKeys } from '../../../src/contract/control/psk';
import { openSession, type Session } from '../../../src/runtime/control/index';
import { bundleInto } from '../../support/bundles';
import { type LambdaApi, lambdaApi } from './allocator/lambda-api';

export const KEY = 'a cluster key for tests only';

export interface Process {
  readonly child: ChildProcess;
  readonly lines: Array<Record<string, unknown>>;
  readonly stderr: () => string;
  readonly ended: Promise<number | null>;
  /** The first log line, past or future, with this message. */
  line(message: string): Promise<Record<string, unknown>>;
}

export interface SeedProcesses {
  readonly folder: string;
  readonly script: string;
  readonly manifest: string;
  readonly lambda: LambdaApi;
  /** Aborted by `close`. */
  readonly closing: AbortSignal;
  run(args: readonly string[], env?: Record<string, string>): Process;
  /** For a child that a test has started by itself: `kill` ends it, too. */
  adopt(child: ChildProcess): void;
  flags(port: number, ...more: string[]): string[];
  /** A client that joins there. */
  client(seed: string, standby?: string): Promise<Session>;
  /** Kills what runs. */
  kill(): void;
  close(): Promise<void>;
}

/** A port that was free a moment ago. */
export async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  server.close();
  await once(server, 'close');
  return port;
}

export async function seedProcesses(): Promise<SeedProcesses> {
  const folder = mkdtempSync(join(tmpdir(), 'seed-test-'));
  const script = bundleInto(folder, 'assets/seed/seed.js');
  const arch = process.arch === 'arm64' ? 'arm64' : 'x86_64';
  const native = resolve(__dirname, '../../../lambda-layers/supervisor', arch, 'imaginary/native.node');
  copyFileSync(native, join(folder, 'native.node'));
  const manifest = join(folder, 'manifest.json');
  const api = { name: 'api', address: '100.64.1.1', functionName: 'test-api', command: ['guest'] };
  writeFileSync(manifest, JSON.stringify({ version: 1, cluster: { name: 'test' }, hosts: [api] }));
  writeFileSync(join(folder, 'key'), `${KEY}\n`);
  const lambda = await lambdaApi();
  const children = new Set<ChildProcess>();
  const closing = new AbortController();

  const run = (args: readonly string[], env: Record<string, string> = {}): Process => {
    const child = spawn(process.execPath, [script, ...args], {
      env: { PATH: process.env.PATH, AWS_EC2_METADATA_DISABLED: 'true', ...env },
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    children.add(child);
    const lines: Process['lines'] = [];
    const watchers = new Set<() => void>();
    createInterface({ input: child.stdout! }).on('line', (text) => {
      lines.push(JSON.parse(text));
      for (const watcher of watchers) watcher();
    });
    let stderr = '';
    child.stderr!.on('data', (text) => (stderr += text));
    const ended = once(child, 'close').then(([code]) => {
      children.delete(child);
      return code as number | null;
    });
    const line = (message: string) =>
      new Promise<Record<string, unknown>>((found, fail) => {
        const look = () => {
          const match = lines.find((l) => l.message === message);
          if (match) found(match);
        };
        watchers.add(look);
        look();
        void ended.then(() => fail(new Error(`the seed ended without '${message}': ${stderr}`)));
      });
    return { child, lines, stderr: () => stderr, ended, line };
  };

  const kill = () => {
    for (const child of children) child.kill('SIGKILL');
  };
  return {
    ...{ folder, script, manifest, lambda, closing: closing.signal, run, kill },
    adopt: (child) => void children.add(child),
    flags: (port, ...more) => [
      ...['--manifest', manifest, '--listen', `127.0.0.1:${port}`, '--address', `127.0.0.1:${port}`],
      ...['--data-listen', '127.0.0.1:0', '--key-file', join(folder, 'key')],
      ...['--lambda-endpoint', lambda.endpoint, ...more],
    ],
    client: (seed, standby) =>
      openSession({
        seed,
        standby: standby === undefined ? undefined : { seed: standby },
        identity: 'client',
        secret: deriveSecret(parseClusterKeys(KEY)[0], 'test', 'client'),
        join: () => ({ ports: [] }),
        onLocation: () => undefined,
        onStop: () => undefined,
        signal: closing.signal,
      }),
    close: async () => {
      kill();
      closing.abort();
      await lambda.close();
      rmSync(folder, { recursive: true, force: true });
    },
  };
}

/** What a sandbox does before it is invoked, and never after. */
import { once } from 'node:events';
import { mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { type AddressInfo, createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Invocation } from '../../../../src/contract/platform/invocation';
import { Supervisor } from '../../../../src/runtime/supervisor/run/supervisor';

const release: Invocation = {
  ...{ version: 1, cluster: 'test', host: 'api', epoch: 5, action: 'release' },
  ...{ seed: '127.0.0.1:1', secret: 'of nobody' },
};

let runDir: string;
let supervisor: Supervisor;
beforeEach(() => {
  runDir = mkdtempSync(join(tmpdir(), 'imaginary-prepare-'));
  supervisor = new Supervisor({ runDir, environment: process.env, write: () => undefined });
});
afterEach(() => rmSync(runDir, { recursive: true }));

test('a sandbox that is prepared has the run directory; a release gives it back', async () => {
  supervisor.prepare();
  expect(readdirSync(runDir)).not.toEqual([]);
  await supervisor.invoke(release, () => 1_000);
  expect(readdirSync(runDir)).toEqual([]);
});

test('a preparation that comes after the first invocation takes nothing', async () => {
  await supervisor.invoke(release, () => 1_000);
  supervisor.prepare();
  expect(readdirSync(runDir)).toEqual([]);
});

describe('an invocation that comes before a preparation', () => {
  /** Answers nothing. Reports what is in the run directory when a connection to it stands. */
  const silentSeed = async () => {
    const files: string[][] = [];
    const closed: Array<Promise<unknown>> = [];
    const server = createServer((socket) => {
      files.push(readdirSync(runDir));
      closed.push(once(socket, 'close'));
      socket.on('error', () => undefined).resume();
    }).listen(0, '127.0.0.1');
    await once(server, 'listening');
    const { port } = server.address() as AddressInfo;
    return { run: { ...release, action: 'run', seed: `127.0.0.1:${port}` } as const, files, closed, server };
  };

  test('connects to the seed first, makes the files then, and gives them back if it does not join', async () => {
    const { run, files, server } = await silentSeed();
    await expect(supervisor.invoke(run, () => 1_000)).rejects.toMatchObject({ code: 'not-joined' });
    expect(files).toEqual([[]]);
    expect(readdirSync(runDir)).toEqual([]);
    server.close();
  });

  test('leaves the seed if there can be no files', async () => {
    const { run, closed, server } = await silentSeed();
    const file = join(runDir, 'file');
    const began = performance.now();
    writeFileSync(file, '');
    const other = new Supervisor({ runDir: file, environment: process.env, write: () => undefined });
    await expect(other.invoke(run, () => 60_000)).rejects.toMatchObject({ code: 'EEXIST' });
    await Promise.all(closed);
    expect(closed).toHaveLength(1);
    // Before the time for an answer is over.
    expect(performance.now() - began).toBeLessThan(4_000);
    server.close();
    await once(server, 'close');
  });
});

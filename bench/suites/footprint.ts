import { spawn } from 'node:child_process';
import { mkdtempSync, readdirSync, readFileSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { deflateRawSync } from 'node:zlib';
import type { ClusterEvent } from '../../src/contract/control/from-seed';
import { bootCold } from '../lib/cold';
import { build, inCluster } from '../lib/programs';
import { absoluteRow, median, type Row, ratioRow, type Suite } from '../lib/rows';

const HOSTS = 9;
const LAYERS = resolve(__dirname, '../../lambda-layers');

/** Bytes of the layers' zip files: deflated content plus the format's headers. */
function layerSize(architecture: string): number {
  const sizeOf = (path: string): number =>
    statSync(path).isDirectory()
      ? readdirSync(path).reduce((sum, name) => sum + sizeOf(join(path, name)), 0)
      : deflateRawSync(readFileSync(path), { level: 9 }).length + 76 + 2 * path.length;
  return ['supervisor', 'shim'].reduce((sum, layer) => sum + sizeOf(join(LAYERS, layer, architecture)), 0);
}

/** Resident set of a process, in MB. */
function residentMemory(pid: number): number {
  const line = /VmRSS:\s+(\d+) kB/.exec(readFileSync(`/proc/${pid}/status`, 'utf8'));
  return Number(line![1]) / 1024;
}

/** Resident set of a `node` that has started and does nothing. */
async function bareNodeMemory(): Promise<number> {
  const child = spawn(process.execPath, ['-e', 'process.stdin.resume(); console.log()'], {
    stdio: ['pipe', 'pipe', 'inherit'],
  });
  await new Promise((ready) => child.stdout.once('data', ready));
  const memory = residentMemory(child.pid!);
  child.kill();
  return memory;
}

/** The processes whose command line ends in the Runtime API client, oldest first. */
function runtimeClients(): number[] {
  return readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .map(Number)
    .filter((pid) => {
      try {
        const line = readFileSync(`/proc/${pid}/cmdline`, 'utf8').split('\0');
        return /\/node$/.test(line[0]) && line.some((part) => part.endsWith('bootstrap.js'));
      } catch {
        return false;
      }
    });
}

/** What the runtime weighs: layers, the supervisor's start, its memory. */
export const footprint: Suite = {
  name: 'footprint',
  title: "Footprint: layers, supervisor's start and memory beyond bare node",
  async run(progress) {
    const rows: Row[] = ['x86_64', 'arm64'].map((architecture) =>
      absoluteRow(`supervisor + shim layers, compressed, ${architecture}`, 'KB', layerSize(architecture) / 1000, 600),
    );
    const folder = mkdtempSync(join(tmpdir(), 'imaginary-bench-'));
    const client = build('ttfb-client', folder);
    const cold = await bootCold(HOSTS, build('ttfb-server', folder), ['0.0.0.0', '7000']);
    try {
      const bareStarts: number[] = [];
      const bareMemory: number[] = [];
      const memory: number[] = [];
      for (let i = 0; i < HOSTS; i++) {
        progress(`start ${i + 1} of ${HOSTS}`);
        bareStarts.push(await cold.bareStart(i));
        bareMemory.push(await bareNodeMemory());
        const before = new Set(runtimeClients());
        await inCluster(cold.cluster, [client, `host-${i}`, '7000', '1', '0']);
        memory.push(
          ...runtimeClients()
            .filter((pid) => !before.has(pid))
            .map(residentMemory),
        );
      }
      if (memory.length !== HOSTS) throw new Error(`found ${memory.length} supervisors of ${HOSTS}`);
      const starts = startTimes(await cold.cluster.events());
      const start = median(starts);
      const bare = median(bareStarts);
      rows.push(
        ratioRow('invoke to joined, vs a bare sandbox to its handler', 'ms', start, bare, null),
        absoluteRow('supervisor start to joined, beyond bare node', 'ms', start - bare, 60),
        ratioRow('resident memory of the supervisor, vs bare node', 'MB', median(memory), median(bareMemory), null),
        absoluteRow('supervisor memory, beyond bare node', 'MB', median(memory) - median(bareMemory), 25),
      );
      return rows;
    } finally {
      await cold.dispose();
      rmSync(folder, { recursive: true, force: true });
    }
  },
};

/** From `invoked` to `joined`, for every host. */
function startTimes(events: readonly ClusterEvent[]): number[] {
  const invoked = new Map(events.filter((e) => e.event === 'invoked').map((e) => [e.host, e.time]));
  return events.filter((e) => e.event === 'joined' && invoked.has(e.host)).map((e) => e.time - invoked.get(e.host)!);
}

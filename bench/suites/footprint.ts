import { spawn } from 'node:child_process';
import { mkdtempSync, readdirSync, readFileSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { deflateRawSync } from 'node:zlib';
import type { ClusterEvent } from '../../src/contract/control/from-seed';
import { bootCold } from '../lib/cold';
import { build, inCluster } from '../lib/programs';
import { absoluteRow, median, type Row, ratioRow, type Suite } from '../lib/rows';

const HOSTS = 25;
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

/** Processor time that the process' threads have used, in milliseconds. */
function processorTime(pid: number): number {
  const threads = readdirSync(`/proc/${pid}/task`);
  const used = threads.map((id) => Number(readFileSync(`/proc/${pid}/task/${id}/schedstat`, 'utf8').split(' ')[0]));
  return used.reduce((sum, time) => sum + time, 0) / 1e6;
}

interface Weight {
  /** MB. */
  readonly memory: number;
  /** Milliseconds of a processor since its start. */
  readonly time: number;
}
const weigh = (pid: number): Weight => ({ memory: residentMemory(pid), time: processorTime(pid) });
const medianOf = (weights: readonly Weight[], what: keyof Weight) => median(weights.map((weight) => weight[what]));

/** A `node` that has started and does nothing. */
async function bareNode(): Promise<Weight> {
  const child = spawn(process.execPath, ['-e', 'process.stdin.resume(); console.log()'], {
    stdio: ['pipe', 'pipe', 'inherit'],
  });
  await new Promise((ready) => child.stdout.once('data', ready));
  const weight = weigh(child.pid!);
  child.kill();
  return weight;
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
      const bare: Weight[] = [];
      const weights: Weight[] = [];
      for (let i = 0; i < HOSTS; i++) {
        progress(`start ${i + 1} of ${HOSTS}`);
        bareStarts.push(await cold.bareStart(i));
        bare.push(await bareNode());
        const before = new Set(runtimeClients());
        await inCluster(cold.cluster, [client, `host-${i}`, '7000', '1', '0']);
        weights.push(
          ...runtimeClients()
            .filter((pid) => !before.has(pid))
            .map(weigh),
        );
      }
      if (weights.length !== HOSTS) throw new Error(`found ${weights.length} supervisors of ${HOSTS}`);
      const start = median(startTimes(await cold.cluster.events()));
      const bareStart = median(bareStarts);
      const [memory, bareMemory] = [medianOf(weights, 'memory'), medianOf(bare, 'memory')];
      const [time, bareTime] = [medianOf(weights, 'time'), medianOf(bare, 'time')];
      rows.push(
        ratioRow('invoke to joined, vs a bare sandbox to its handler', 'ms', start, bareStart, null),
        absoluteRow('supervisor start to joined, beyond bare node', 'ms', start - bareStart, 60),
        ratioRow('processor time of the supervisor to the first byte, vs bare node', 'ms', time, bareTime, null),
        ratioRow('resident memory of the supervisor, vs bare node', 'MB', memory, bareMemory, null),
        absoluteRow('supervisor memory, beyond bare node', 'MB', memory - bareMemory, 25),
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

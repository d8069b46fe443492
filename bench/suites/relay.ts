import { spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { DataPort } from '../../src/native/addon';
import { loadNative } from '../../src/native/addon/load';
import { build, type Stats, serve } from '../lib/programs';
import { median, type Row, ratioRow, type Suite } from '../lib/rows';

const ROUNDS = 5;
const MEGABYTES = 1_024;
const CONNECTIONS = 500;
const PLAIN = 9_720;
const TARGET = 9_721;
/** At least 0.7 of the plain relay's throughput: at most 1/0.7 of its time. */
const BUDGET = 1.43;

async function load(program: string, args: readonly (string | number)[], input = ''): Promise<Stats> {
  const child = spawn(program, args.map(String), { stdio: ['pipe', 'pipe', 'inherit'] });
  child.stdin.end(input);
  let output = '';
  for await (const text of child.stdout) output += text;
  return JSON.parse(output);
}

/** The seed's relay beside the plainest relay with splice(2), each between the same two programs. */
export const relay: Suite = {
  name: 'relay',
  title: "Relay: connections through the seed's data port beside a plain relay with splice(2)",
  async run(progress) {
    const folder = mkdtempSync(join(tmpdir(), 'imaginary-bench-'));
    let nextId = 0;
    const port: DataPort = loadNative().openDataPort('127.0.0.1', 0, () => undefined);
    const program = build('relay-load', folder);
    const stop = await serve([build('splice-relay', folder), String(PLAIN), String(TARGET)]);
    const through = (count: number, megabytes: number) => {
      let tokens = '';
      for (let i = 0; i < count; i++) {
        const [a, b] = [randomBytes(32), randomBytes(32)];
        port.expect(a, b, nextId++);
        tokens += `${a.toString('hex')} ${b.toString('hex')}\n`;
      }
      return load(program, ['relay', port.port, count, megabytes], tokens);
    };
    const plain = (count: number, megabytes: number) => load(program, ['plain', PLAIN, TARGET, count, megabytes]);
    try {
      const rows: Row[] = [];
      const measure = async (metric: string, unit: string, scale: number, count: number, megabytes: number) => {
        const [ours, theirs, worst, theirWorst]: number[][] = [[], [], [], []];
        for (let round = 0; round < ROUNDS; round++) {
          progress(`${metric}, round ${round + 1}`);
          const a = await plain(count, megabytes);
          const b = await through(count, megabytes);
          theirs.push(a.median / scale);
          ours.push(b.median / scale);
          theirWorst.push(a.p99 / scale);
          worst.push(b.p99 / scale);
        }
        rows.push(ratioRow(metric, unit, median(ours), median(theirs), BUDGET));
        if (count > 1) rows.push(ratioRow(`${metric}, p99`, unit, median(worst), median(theirWorst), null));
      };
      await measure('1 GiB through one connection', 'ms', 1_000, 1, MEGABYTES);
      await measure('a new connection, one byte there and back', 'µs', 1, CONNECTIONS, 0);
      return rows;
    } finally {
      stop();
      port.close();
      rmSync(folder, { recursive: true });
    }
  },
};

import { readFileSync } from 'node:fs';
import { longestEnd, parseManifest } from '../../contract/manifest';
import { cleanLeftovers, isPlatformRunning, type PlatformInfo, readPlatform } from '../../local';
import type { CommonOptions } from '../options';
import { CliError } from '../output/errors';
import { outputTo } from '../output/output';
import { progressLine } from '../output/terminal';
import { display, stateDirectory } from '../target/state';

/** Milliseconds that a platform may take besides what its hosts may; one that takes longer is killed. */
const STOPS_WITHIN = 20_000;

export async function down(options: CommonOptions): Promise<void> {
  const stateDir = stateDirectory(options.state);
  const info = readPlatform(stateDir);
  const wasRunning = info !== undefined && isPlatformRunning(info);
  if (info && wasRunning) {
    const progress = progressLine();
    progress.step(`taking ${info.cluster} down`);
    try {
      await stop(info);
    } finally {
      progress.done();
    }
  }
  // Also of a platform that was killed: its sandboxes end with it, its files do not.
  if (info) await cleanLeftovers(stateDir);
  const text = () => {
    if (!info) return `nothing is running (state directory ${display(stateDir)})`;
    return wasRunning ? `${info.cluster} is down` : `${info.cluster} had ended already; what it left is removed`;
  };
  const result = { cluster: info?.cluster ?? null, wasRunning, stateDir };
  outputTo(process.stdout, options.json === true).result(result, text);
}

async function stop(info: PlatformInfo): Promise<void> {
  process.kill(info.pid, 'SIGTERM');
  if (await ended(info, STOPS_WITHIN + hostsEndWithin(info))) return;
  process.kill(info.pid, 'SIGKILL');
  if (await ended(info, STOPS_WITHIN)) return;
  throw new CliError('down', `the platform's process ${info.pid} does not end`, { next: `kill -9 ${info.pid}` });
}

/** 0 where that cannot be known any more. */
function hostsEndWithin({ manifestFile }: PlatformInfo): number {
  try {
    return longestEnd(parseManifest(readFileSync(manifestFile, 'utf8')).hosts);
  } catch {
    return 0;
  }
}

/** The end of a process that is not our child is no event to us: this looks for it. */
async function ended(info: PlatformInfo, within: number): Promise<boolean> {
  for (const deadline = performance.now() + within; performance.now() < deadline; ) {
    if (!isPlatformRunning(info)) return true;
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
  return false;
}

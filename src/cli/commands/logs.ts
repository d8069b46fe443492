import { closeSync, existsSync, openSync, readSync, watch } from 'node:fs';
import { basename, join } from 'node:path';
import { StringDecoder } from 'node:string_decoder';
import type { Manifest } from '../../contract/manifest';
import { isPlatformRunning, readPlatform } from '../../local';
import type { CommonOptions } from '../options';
import { CliError } from '../output/errors';
import { type LogEntry, logText, parseLogLine, timeOf } from '../output/log-line';
import { outputTo } from '../output/output';
import { day, painter } from '../output/terminal';
import { display, findHost, readManifestFile, stateDirectory, withState } from '../target/state';

interface LogsOptions extends CommonOptions {
  readonly follow?: boolean;
  /** So many entries, the last ones. */
  readonly tail?: number;
  /** Unix time, milliseconds. */
  readonly since?: number;
}

/** Reads the log files: works for a cluster that is down, too. */
export async function logs(name: string | undefined, options: LogsOptions): Promise<void> {
  const stateDir = stateDirectory(options.state);
  const manifestFile = join(stateDir, 'manifest.json');
  if (!existsSync(manifestFile)) {
    throw new CliError('no-cluster', `no cluster was booted with the state directory ${display(stateDir)}`, {
      next: `Boot one with '${withState('imaginary up PATH', stateDir)}', or name the state directory of one with --state DIR.`,
    });
  }
  const known = readManifestFile(manifestFile);
  const hosts = name === undefined ? known.hosts.map((host) => host.name) : logsOf(name, known);
  const folder = join(stateDir, 'logs');
  const readers = new Map(hosts.map((host) => [`${host}.log`, entryReader(join(folder, `${host}.log`), host)]));
  if (name !== undefined && !existsSync(join(folder, `${hosts[0]}.log`)) && process.stderr.isTTY) {
    process.stderr.write(`${hosts[0]} was not allocated yet: its log is empty\n`);
  }
  const show = shower(options, hosts.length > 1 || name === undefined);
  const follows = options.follow === true && isUp(stateDir);
  const written = [...readers.values()].flatMap((reader) => reader.read(!follows));
  chosen(written, options).forEach(show);
  if (follows) await following(stateDir, folder, readers, show);
}

function logsOf(name: string, manifest: Manifest): string[] {
  if (name !== 'seed') return [findHost(manifest, name).name];
  return manifest.seed.standby ? ['seed', 'seed.standby'] : ['seed'];
}

/** An entry, and when it was written: as the nearest one before it that says so. */
interface Timed {
  readonly entry: LogEntry;
  readonly time: number;
}

/** By time; what one host has written stays in its order. */
function chosen(entries: readonly Timed[], { tail, since }: LogsOptions): Timed[] {
  const sorted = [...entries]
    .sort((a, b) => a.time - b.time)
    .filter(({ time }) => since === undefined || time >= since);
  return tail === undefined ? sorted : sorted.slice(Math.max(0, sorted.length - tail));
}

/** Prints entries; between those of two days a line with the date. */
function shower(options: LogsOptions, all: boolean): (timed: Timed) => void {
  const out = outputTo(process.stdout, options.json === true);
  const paint = painter(process.stdout);
  let date = day(Date.now());
  return ({ entry, time }) => {
    const today = time > 0 ? day(time) : date;
    const text = () =>
      `${all ? `${paint('cyan', String(entry.host ?? '-').padEnd(12))} ` : ''}${logText(entry, paint)}`;
    out.result(entry, () => (today === date ? text() : `${paint('bold', `── ${today} ──`)}\n${text()}`));
    date = today;
  };
}

interface EntryReader {
  /** What was written since the last call, whole lines only unless this is the `last` call. */
  read(last: boolean): Timed[];
}

function entryReader(file: string, host: string): EntryReader {
  const decoder = new StringDecoder('utf8');
  const buffer = Buffer.allocUnsafe(64 * 1024);
  let offset = 0;
  let rest = '';
  let time = 0;
  const timed = (line: string): Timed => {
    const entry = { host, ...parseLogLine(line, host) };
    time = Math.max(time, timeOf(entry) ?? 0);
    return { entry, time };
  };
  const pieces = function* (): Generator<Buffer> {
    if (!existsSync(file)) return;
    const fd = openSync(file, 'r');
    try {
      for (let n = -1; n !== 0; offset += n) {
        n = readSync(fd, buffer, 0, buffer.length, offset);
        yield buffer.subarray(0, n);
      }
    } finally {
      closeSync(fd);
    }
  };
  return {
    read: (last) => {
      const entries: Timed[] = [];
      for (const piece of pieces()) {
        const lines = (rest + decoder.write(piece)).split('\n');
        rest = lines.pop()!;
        for (const line of lines) entries.push(timed(line));
      }
      if (last && rest !== '') entries.push(timed(rest));
      return entries;
    },
  };
}

function isUp(stateDir: string): boolean {
  const info = readPlatform(stateDir);
  return info !== undefined && isPlatformRunning(info);
}

/** Until the cluster goes down (or the user interrupts). */
function following(
  stateDir: string,
  folder: string,
  readers: ReadonlyMap<string, EntryReader>,
  show: (timed: Timed) => void,
): Promise<void> {
  return new Promise((done, fail) => {
    const finish = (settle: () => void) => {
      logWatcher.close();
      stateWatcher.close();
      settle();
    };
    const read = (name: string, last: boolean) => {
      try {
        readers.get(name)?.read(last).forEach(show);
      } catch (error) {
        finish(() => fail(error));
      }
    };
    const logWatcher = watch(folder, (_, changed) => changed !== null && read(basename(changed), false));
    // platform.json goes when the cluster does.
    const stateWatcher = watch(stateDir, () => {
      if (isUp(stateDir)) return;
      finish(() => {
        for (const name of readers.keys()) read(name, true);
        done();
      });
    });
    // What was written before the watch began.
    for (const name of readers.keys()) read(name, false);
  });
}

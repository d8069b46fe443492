import { closeSync, existsSync, openSync, readSync, watch } from 'node:fs';
import { basename, join } from 'node:path';
import { StringDecoder } from 'node:string_decoder';
import { isPlatformRunning, readPlatform } from '../../local';
import { CliError } from '../errors';
import { logText, parseLogLine } from '../log-line';
import type { CommonOptions } from '../options';
import { type Output, outputTo } from '../output';
import { display, findHost, readManifestFile, stateDirectory } from '../state';
import { painter } from '../terminal';

interface LogsOptions extends CommonOptions {
  readonly follow?: boolean;
}

/** Reads the log files: works for a cluster that is down, too. */
export async function logs(name: string, options: LogsOptions): Promise<void> {
  const stateDir = stateDirectory(options.state);
  const manifestFile = join(stateDir, 'manifest.json');
  if (!existsSync(manifestFile)) {
    throw new CliError('no-cluster', `no cluster was booted with the state directory ${display(stateDir)}`, {
      next: "Boot one with 'imaginary up PATH', or name the state directory of one with --state DIR.",
    });
  }
  const host = name === 'seed' ? name : findHost(readManifestFile(manifestFile), name).name;
  const folder = join(stateDir, 'logs');
  const file = join(folder, `${host}.log`);
  const reader = lineReader(file, host, outputTo(process.stdout, options.json === true));
  if (!existsSync(file) && process.stderr.isTTY) {
    process.stderr.write(`${host} was not allocated yet: its log is empty\n`);
  }
  if (!options.follow) return reader.read(true);
  await following(stateDir, folder, basename(file), reader);
}

interface LineReader {
  /** Shows what was written since the last call, whole lines only unless this is the `last` call. */
  read(last: boolean): void;
}

function lineReader(file: string, host: string, out: Output): LineReader {
  const decoder = new StringDecoder('utf8');
  const buffer = Buffer.allocUnsafe(64 * 1024);
  let offset = 0;
  let rest = '';
  const paint = painter(process.stdout);
  const show = (line: string) => {
    const entry = parseLogLine(line, host);
    out.result(entry, () => logText(entry, paint));
  };
  return {
    read: (last) => {
      if (existsSync(file)) {
        const fd = openSync(file, 'r');
        try {
          for (
            let n = readSync(fd, buffer, 0, buffer.length, offset);
            n > 0;
            n = readSync(fd, buffer, 0, buffer.length, offset)
          ) {
            offset += n;
            const lines = (rest + decoder.write(buffer.subarray(0, n))).split('\n');
            rest = lines.pop()!;
            lines.forEach(show);
          }
        } finally {
          closeSync(fd);
        }
      }
      if (last && rest !== '') show(rest);
    },
  };
}

/** Until the cluster goes down (or the user interrupts). */
function following(stateDir: string, folder: string, name: string, reader: LineReader): Promise<void> {
  const running = () => {
    const info = readPlatform(stateDir);
    return info !== undefined && isPlatformRunning(info);
  };
  if (!running()) {
    reader.read(true);
    return Promise.resolve();
  }
  return new Promise((done, fail) => {
    const finish = (settle: () => void) => {
      logWatcher.close();
      stateWatcher.close();
      settle();
    };
    const onLog = () => {
      try {
        reader.read(false);
      } catch (error) {
        finish(() => fail(error));
      }
    };
    const logWatcher = watch(folder, (_, changed) => {
      if (changed === name) onLog();
    });
    // platform.json goes when the cluster does.
    const stateWatcher = watch(stateDir, () => {
      if (running()) return;
      finish(() => {
        reader.read(true);
        done();
      });
    });
    onLog();
  });
}

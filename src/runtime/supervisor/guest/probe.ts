/** One look at a guest from outside: by a command that runs beside it, or by an HTTP request. */
import { spawn } from 'node:child_process';
import { get } from 'node:http';
import { formatAddress } from '../../../contract/manifest/address';

/** Undefined: all is well. Else why not, for people. */
export type Finding = string | undefined;

export interface ProbeCommand {
  readonly command: readonly string[];
  readonly environment: Readonly<Record<string, string>>;
  readonly directory: string;
  /** Milliseconds. */
  readonly timeout: number;
}

/** What of its output goes into the reason. */
const LAST_WORDS = 200;

/** Runs a command among the host's guests. All is well if it exits with 0 in time. Never rejects. */
export function probeByCommand({ command, environment, directory, timeout }: ProbeCommand): Promise<Finding> {
  const [file, ...args] = command;
  return new Promise((resolve) => {
    // A group of its own: what the command has started ends with it.
    const child = spawn(file, args, {
      cwd: directory,
      env: environment,
      detached: true,
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    let said = '';
    const hear = (chunk: Buffer) => {
      said = (said + chunk.toString()).slice(-LAST_WORDS);
    };
    child.stdout.on('data', hear);
    child.stderr.on('data', hear);
    const timer = setTimeout(() => {
      end(`'${file}' took longer than ${timeout} ms`);
      killGroup(child.pid);
    }, timeout);
    const end = (finding: Finding) => {
      clearTimeout(timer);
      resolve(finding);
    };
    child.on('error', (error) => end(`'${file}' could not be started: ${error.message}`));
    // What holds its pipes open is not waited for.
    child.on('exit', (code, signal) => {
      const how = signal ? `was ended by ${signal}` : `exited with code ${code}`;
      const words = said.trim().split('\n').at(-1)!;
      end(code === 0 ? undefined : `'${file}' ${how}${words && `: ${words}`}`);
    });
  });
}

function killGroup(pid: number | undefined): void {
  if (pid === undefined) return;
  try {
    process.kill(-pid, 'SIGKILL');
  } catch {
    // It has ended.
  }
}

/** @param address the real one, of the guest's listener */
export function probeByHttp(address: number, port: number, path: string, timeout: number): Promise<Finding> {
  return new Promise((resolve) => {
    const request = get({ host: formatAddress(address), port, path, timeout, agent: false }, (response) => {
      response.resume();
      const { statusCode = 0 } = response;
      resolve(statusCode >= 200 && statusCode < 400 ? undefined : `GET ${path} was answered with ${statusCode}`);
      request.destroy();
    });
    request.on('timeout', () => request.destroy(new Error(`no answer within ${timeout} ms`)));
    request.on('error', (error) => resolve(`GET ${path}: ${error.message}`));
  });
}

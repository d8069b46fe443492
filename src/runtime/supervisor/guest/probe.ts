/** One look at a guest from outside: by a command that runs beside it, or by an HTTP request. */
import { get } from 'node:http';
import { formatAddress } from '../../../contract/manifest/address';
import { type BesideCommand, type Finding, runBeside } from './command';

/** What of its output goes into the reason. */
const LAST_WORDS = 200;

/** Runs a command among the host's guests. All is well if it exits with 0 in time. Never rejects. */
export async function probeByCommand(beside: Omit<BesideCommand, 'signal'>): Promise<Finding> {
  let said = '';
  const hear = (chunk: Buffer) => {
    said = (said + chunk.toString()).slice(-LAST_WORDS);
  };
  const finding = await runBeside(beside, { stdout: hear, stderr: hear });
  const words = said.trim().split('\n').at(-1)!;
  return finding && `${finding}${words && `: ${words}`}`;
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

/**
 * Compiles a bundle ahead, for the Node.js that runs this: a cold start reads what V8 made of it instead of compiling
 * it again (`src/runtime/lambda/compiled.ts`).
 */
import { execFile } from 'node:child_process';
import { createHash } from 'node:crypto';
import * as fs from 'node:fs';
import { promisify } from 'node:util';
import { CODE_CACHE_HEADER, codeCacheHeader, roomForModule } from '../src/contract/platform/code-cache';

/** In a process without flags. All functions are compiled, not only those that are called while it is loaded. */
const COMPILE = `
const { setFlagsFromString } = require('node:v8');
const { Script } = require('node:vm');
setFlagsFromString('--no-lazy');
const script = new Script(require('node:fs').readFileSync(0, 'latin1'));
setFlagsFromString('--lazy');
process.stdout.write(script.createCachedData());
`;

/** The bundle with a last line that names its content. */
export function named(bundle: Uint8Array): Buffer {
  return Buffer.concat([bundle, Buffer.from(`//# ${createHash('sha256').update(bundle).digest('hex')}\n`)]);
}

/**
 * The content of the file beside the bundle, which is a `named` one. V8 does not write the same bytes each time, so
 * what is there already is kept if it fits.
 */
export async function codeCache(bundle: Buffer, file: string): Promise<Buffer> {
  const present = fs.existsSync(file) ? fs.readFileSync(file) : Buffer.alloc(0);
  if (isWhole(bundle, present)) return present;
  const env = { ...process.env, NODE_OPTIONS: '' };
  const run = promisify(execFile)(process.execPath, ['-e', COMPILE], { env, encoding: 'buffer', maxBuffer: 2 ** 26 });
  const module = roomForModule(bundle.length);
  bundle.copy(module.bundle);
  run.child.stdin?.end(module.all);
  const { stdout: code } = await run;
  return Buffer.concat([codeCacheHeader(bundle, code.length), code]);
}

/** Its header is the one that a file of this length would be given. */
function isWhole(bundle: Buffer, file: Buffer): boolean {
  const code = file.length - CODE_CACHE_HEADER;
  return code > 0 && file.subarray(0, CODE_CACHE_HEADER).equals(codeCacheHeader(bundle, code));
}

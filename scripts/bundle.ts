/**
 * Builds everything that ships beside the jsii-compiled library: JavaScript bundles (esbuild) and native code (zig cc)
 * for both Lambda architectures, into lambda-layers/ and assets/. Run through `npx projen bundle`.
 *
 *   --strict        a missing source is an error instead of a notice
 *   --only TEXT     only outputs whose path contains TEXT
 *
 * The bundles find each other at run time, relative to their own file; nothing about the build machine is in them.
 */
import { execFile } from 'node:child_process';
import { createHash } from 'node:crypto';
import * as fs from 'node:fs';
import * as path from 'node:path';
import { parseArgs, promisify } from 'node:util';
import * as esbuild from 'esbuild';
import {
  ARCHITECTURES,
  CODE_CACHE,
  COPIES,
  JS_OUTPUTS,
  type JsOutput,
  NATIVE_OUTPUTS,
  type NativeOutput,
  toEsbuild,
} from './bundle-outputs';
import { codeCache, named } from './code-cache';
import { includedBy } from './includes';

const root = path.resolve(__dirname, '..');
process.chdir(root);
const cache = path.join('node_modules', '.cache');
process.env.ZIG_GLOBAL_CACHE_DIR ??= path.resolve(cache, 'zig');
process.env.ZIG_LOCAL_CACHE_DIR ??= path.resolve(cache, 'zig');
const zigPackage = `@zigc/${process.platform}-${process.arch}`;

/** Replaces `file` in one step, so that a reader (or a second build) never sees half of it. False: nothing changed. */
function publish(file: string, content: Uint8Array, mode: number): boolean {
  if (fs.existsSync(file) && fs.readFileSync(file).equals(content)) return false;
  fs.mkdirSync(path.dirname(file), { recursive: true });
  const temporary = path.join(path.dirname(file), `.${path.basename(file)}.${process.pid}`);
  fs.writeFileSync(temporary, content, { mode });
  fs.chmodSync(temporary, mode);
  fs.renameSync(temporary, file);
  return true;
}

function copy(from: string, to: string): string[] {
  return publish(to, fs.readFileSync(from), 0o644) ? [to] : [];
}

async function buildJs(output: JsOutput): Promise<string[]> {
  const result = await esbuild.build({ ...toEsbuild(output), write: false });
  const mode = output.executable ? 0o755 : 0o644;
  const [bundle, cache] = CODE_CACHE;
  const isCompiled = output.files.includes(bundle);
  const built = Buffer.from(result.outputFiles[0].contents);
  const content = isCompiled ? named(built) : built;
  const caches = isCompiled ? [[cache, await codeCache(content, cache)] as const] : [];
  // First what is of the bundle: beside another one it is not used.
  const all = [...caches, ...output.files.map((file) => [file, content] as const)];
  return all.filter(([file, bytes]) => publish(file, bytes, mode)).map(([file]) => file);
}

/** Hash of everything a native output is made from: compiler, flags, sources, and the headers that they include. */
function inputsHash(output: NativeOutput, flags: readonly string[]): string {
  const hash = createHash('sha256');
  hash.update(JSON.stringify([require(`${zigPackage}/package.json`).version, flags]));
  const include = flags.flatMap((flag, i) => (flags[i - 1] === '-I' ? [flag] : []));
  for (const file of includedBy(output.folders.flatMap(cFiles), include))
    hash.update(`${file}\0`).update(fs.readFileSync(file));
  return hash.digest('hex');
}

function cFiles(folder: string): string[] {
  if (!fs.existsSync(folder)) return [];
  const names = fs.readdirSync(folder).filter((name) => name.endsWith('.c'));
  return names.sort().map((name) => path.posix.join(folder, name));
}

async function buildNative(output: NativeOutput, arch: string): Promise<string[]> {
  const target = `${arch === 'arm64' ? 'aarch64' : arch}-linux-${output.libc}`;
  const file = output.file.replace('<arch>', arch);
  const sources = output.folders.flatMap(cFiles);
  const flags = ['-target', target, ...output.flags];
  const [top, ...rest] = file.split('/');
  const stamp = path.join(top, '.inputs', rest.join('__'));
  const hash = inputsHash(output, flags);
  if (fs.existsSync(file) && fs.existsSync(stamp) && fs.readFileSync(stamp, 'utf8') === hash) return [];
  const temporary = path.join(cache, `bundle-${process.pid}-${rest.join('__')}`);
  try {
    // Straight to the binary: the package's own wrapper loses the exit code of a compiler that was killed.
    const zig = require.resolve(`${zigPackage}/bin/zig`);
    const { stderr } = await promisify(execFile)(zig, ['cc', ...flags, '-o', temporary, ...sources]);
    if (stderr) process.stderr.write(stderr);
    const changed = publish(file, fs.readFileSync(temporary), output.executable ? 0o755 : 0o644);
    publish(stamp, Buffer.from(hash), 0o644);
    return changed ? [file] : [];
  } finally {
    fs.rmSync(temporary, { force: true });
  }
}

async function main() {
  const { values } = parseArgs({
    options: { strict: { type: 'boolean', default: false }, only: { type: 'string', default: '' } },
  });
  const missing: string[] = [];
  const present = (source: string, exists = fs.existsSync(source)) => exists || void missing.push(source);
  const jobs: Array<{ name: string; run: () => Promise<string[]> }> = [];
  for (const output of JS_OUTPUTS) {
    if (output.files.some((file) => file.includes(values.only)) && present(output.entry))
      jobs.push({ name: output.entry, run: () => buildJs(output) });
  }
  for (const output of NATIVE_OUTPUTS) {
    if (
      !output.file.includes(values.only) ||
      !present(
        output.folders[0],
        output.folders.some((f) => cFiles(f).length > 0),
      )
    )
      continue;
    for (const arch of ARCHITECTURES)
      jobs.push({ name: `${output.file} (${arch})`, run: () => buildNative(output, arch) });
  }
  for (const [from, to] of COPIES) {
    if (to.includes(values.only)) jobs.push({ name: from, run: async () => copy(from, to) });
  }
  let failed = false;
  const queue = [...jobs];
  const worker = async () => {
    for (let job = queue.shift(); job; job = queue.shift()) {
      try {
        for (const file of await job.run()) console.log(`built ${file}`);
      } catch (error) {
        failed = true;
        // esbuild has printed its errors already, with the lines they are about.
        const { stderr, message, errors } = error as Error & { stderr?: string; errors?: unknown[] };
        console.error(errors ? `${job.name}: not bundled` : `${job.name}: ${stderr || message}`);
      }
    }
  };
  await Promise.all([worker(), worker()]);
  for (const source of missing) console.log(`skipped: ${source} does not exist yet`);
  if (failed || (values.strict && missing.length > 0)) process.exitCode = 1;
}

void main();

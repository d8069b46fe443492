/** Looks at what a command would run, before it runs: where the program is, and whether the shim can be preloaded into it. */
import { accessSync, closeSync, constants, existsSync, openSync, readSync, statSync } from 'node:fs';
import { join, resolve } from 'node:path';

/** The program of a command cannot be started, or cannot be a guest. */
export class ProgramError extends Error {
  constructor(
    readonly code: 'not-found' | 'not-executable' | 'not-a-program' | 'no-interpreter' | 'static' | 'architecture',
    readonly file: string,
    reason: string,
  ) {
    super(`${file}: ${reason}`);
    this.name = 'ProgramError';
  }

  /** What a shell's exit code for this would be. */
  get exitCode(): number {
    return this.code === 'not-found' || this.code === 'no-interpreter' ? 127 : 126;
  }
}

export type Libc = 'glibc' | 'musl';

export interface Program {
  /** The file to execute: the script, where it is one. */
  readonly file: string;
  /** The C library of the process that it becomes. */
  readonly libc: Libc;
}

/** What execvp takes when there is no PATH. */
const DEFAULT_PATH = '/usr/local/bin:/usr/bin:/bin';
/** The kernel's own limit on scripts that interpret scripts. */
const MAX_SCRIPTS = 5;

/**
 * Finds the program of a command, as execvp would in that directory with that search path.
 * @throws ProgramError
 */
export function inspectCommand(command: readonly string[], path = DEFAULT_PATH, cwd = '/'): Program {
  const file = findProgram(command[0], path, cwd);
  return { file, libc: libcOf(file, path, cwd, MAX_SCRIPTS) };
}

function findProgram(name: string, path: string, cwd: string): string {
  if (name.includes('/')) {
    const file = resolve(cwd, name);
    if (!existsSync(file)) throw new ProgramError('not-found', file, 'there is no such file');
    if (!isExecutable(file)) throw new ProgramError('not-executable', file, 'is not an executable file');
    return file;
  }
  let refused: string | undefined;
  for (const folder of path.split(':')) {
    const file = join(resolve(cwd, folder), name);
    if (!existsSync(file)) continue;
    if (isExecutable(file)) return file;
    refused ??= file;
  }
  if (refused) throw new ProgramError('not-executable', refused, 'is not an executable file');
  throw new ProgramError('not-found', name, `there is no such program in ${path}`);
}

function isExecutable(file: string): boolean {
  try {
    accessSync(file, constants.X_OK);
    return statSync(file).isFile();
  } catch {
    return false;
  }
}

function libcOf(file: string, path: string, cwd: string, scripts: number): Libc {
  const head = readAt(file, 0, 4096);
  if (head.length >= 4 && head.readUInt32BE(0) === 0x7f454c46) return libcOfElf(file, head);
  if (head.toString('latin1', 0, 2) !== '#!') {
    throw new ProgramError('not-a-program', file, 'is neither an ELF program nor a script that begins with #!');
  }
  if (scripts === 0) throw new ProgramError('not-a-program', file, 'is a script of a script of a script …');
  const line = head.toString('utf8', 2).split('\n', 1)[0].trim();
  const [interpreter, ...words] = line.split(/[ \t]+/);
  if (!interpreter || !existsSync(interpreter)) {
    throw new ProgramError('no-interpreter', file, `its interpreter '${interpreter}' does not exist`);
  }
  const target = interpreter.endsWith('/env') ? envTarget(words) : undefined;
  if (target === undefined) return libcOf(interpreter, path, cwd, scripts - 1);
  try {
    return libcOf(findProgram(target, path, cwd), path, cwd, scripts - 1);
  } catch (error) {
    if (!(error instanceof ProgramError) || error.code !== 'not-found') throw error;
    throw new ProgramError('no-interpreter', file, `its interpreter '${target}' is not in ${path}`);
  }
}

/** The program that `env` runs: the first word that is neither an option nor an assignment. */
function envTarget(words: readonly string[]): string | undefined {
  return words.find((word) => !word.startsWith('-') && !word.includes('='));
}

const ELF = { class64: 2, littleEndian: 1, machine: { x64: 62, arm64: 183 } as Record<string, number> };
const PT_INTERP = 3;

function libcOfElf(file: string, head: Buffer): Libc {
  if (head[4] !== ELF.class64 || head[5] !== ELF.littleEndian) {
    throw new ProgramError('architecture', file, 'is not a 64-bit little-endian program; guests have to be');
  }
  const machine = head.readUInt16LE(18);
  if (machine !== ELF.machine[process.arch]) {
    throw new ProgramError(
      'architecture',
      file,
      `is built for another architecture than this host's (${process.arch})`,
    );
  }
  const loader = interpreterOf(file, head);
  if (loader === undefined) {
    throw new ProgramError(
      'static',
      file,
      'is statically linked, so the shim cannot be preloaded into it; use a dynamically linked build',
    );
  }
  if (!existsSync(loader)) {
    throw new ProgramError('no-interpreter', file, `its dynamic loader '${loader}' does not exist on this host`);
  }
  return /(^|\/)ld-musl-/.test(loader) ? 'musl' : 'glibc';
}

/** The dynamic loader that an ELF program names (PT_INTERP). */
function interpreterOf(file: string, head: Buffer): string | undefined {
  const offset = Number(head.readBigUInt64LE(32));
  const entry = head.readUInt16LE(54);
  const count = head.readUInt16LE(56);
  const table = readAt(file, offset, entry * count);
  for (let at = 0; at + entry <= table.length; at += entry) {
    if (table.readUInt32LE(at) !== PT_INTERP) continue;
    const start = Number(table.readBigUInt64LE(at + 8));
    const size = Number(table.readBigUInt64LE(at + 32));
    return readAt(file, start, Math.min(size, 4096)).toString('utf8').split('\0', 1)[0];
  }
  return undefined;
}

function readAt(file: string, offset: number, length: number): Buffer {
  let fd: number;
  try {
    fd = openSync(file, 'r');
  } catch (error) {
    // Executable but not readable: nothing can be said about it.
    throw new ProgramError('not-executable', file, `cannot be read (${(error as NodeJS.ErrnoException).code})`);
  }
  try {
    const buffer = Buffer.alloc(length);
    return buffer.subarray(0, readSync(fd, buffer, 0, length, offset));
  } finally {
    closeSync(fd);
  }
}

/**
 * Looks at what a command would run, before it runs: where the program is, and whether the shim can be preloaded into
 * it.
 */
import { accessSync, constants, existsSync, readFileSync, statSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { importsOf, type ProgramHeader, rawCalls } from '../sockets/raw-calls';
import { ProgramFile } from './program-file';

/** The program of a command cannot be started, or cannot be a guest. */
export class ProgramError extends Error {
  constructor(
    readonly code:
      | 'not-found'
      | 'not-executable'
      | 'not-a-program'
      | 'no-interpreter'
      | 'static'
      | 'go'
      | 'raw'
      | 'privileged'
      | 'architecture',
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
  const opened = openProgram(file);
  let head: Buffer;
  try {
    head = opened.read(0, 4096);
    if (head.length >= 4 && head.readUInt32BE(0) === 0x7f454c46) return libcOfElf(opened, head);
  } finally {
    opened.close();
  }
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
const PT_NOTE = 4;

function libcOfElf(opened: ProgramFile, head: Buffer): Libc {
  const file = opened.path;
  if (head.length < 64) throw new ProgramError('not-a-program', file, 'is an ELF program that ends within its header');
  if (head[4] !== ELF.class64 || head[5] !== ELF.littleEndian) {
    throw new ProgramError(
      'architecture',
      file,
      'is a 32-bit or big-endian program, and the shim is built for 64 bits; use a 64-bit build',
    );
  }
  const machine = head.readUInt16LE(18);
  if (machine !== ELF.machine[process.arch]) {
    throw new ProgramError(
      'architecture',
      file,
      `is built for another architecture than this host's (${process.arch})`,
    );
  }
  const headers = programHeaders(opened, head);
  const loader = interpreterOf(opened, headers);
  const named = sections(opened, head);
  if (isGo(opened, headers, named)) {
    const linked = loader === undefined ? 'statically linked' : 'dynamically linked';
    throw new ProgramError(
      'go',
      file,
      `is a Go program (${linked}): Go makes its system calls itself and not through the C library, where the shim stands ` +
        'between a guest and its network, so it would run outside of its cluster; Go programs cannot be guests yet',
    );
  }
  if (loader === undefined) {
    throw new ProgramError(
      'static',
      file,
      'is statically linked, so the shim cannot be preloaded into it; use a dynamically linked build',
    );
  }
  refuseRaw(opened, headers, named);
  refusePrivileged(file);
  if (!existsSync(loader)) {
    throw new ProgramError('no-interpreter', file, `its dynamic loader '${loader}' does not exist on this host`);
  }
  return /(^|\/)ld-musl-/.test(loader) ? 'musl' : 'glibc';
}

/** The calls without which a program is in no network: the shim does not see a program that makes them itself. */
const NETWORK_CALLS = ['connect', 'bind', 'listen'];

/**
 * Only the calls that the program does not have from libc are looked for, so that most programs are not searched at
 * all.
 */
function refuseRaw(opened: ProgramFile, headers: readonly ProgramHeader[], named: readonly Section[]): void {
  const read = (offset: number, length: number) => opened.read(offset, length, MOST_CODE);
  const imported = importsOf(headers, read, NETWORK_CALLS);
  const wanted = NETWORK_CALLS.filter((name) => !imported.includes(name));
  if (wanted.length === 0) return;
  const inCode = rawCalls(headers, read, wanted);
  const found = inCode.length > 0 ? inCode : rustixCalls(opened, named, wanted);
  if (found.length === 0) return;
  throw new ProgramError(
    'raw',
    opened.path,
    `makes system calls itself (${found.join(', ')}) and not through the C library, where the shim stands between a guest and ` +
      "its network, so it would run outside of its cluster; build it so that it calls libc (Rust's rustix: with the feature " +
      "'use-libc', or RUSTFLAGS='--cfg=rustix_use_libc')",
  );
}

/** Without optimisation rustix has one function per system call, whose symbols name it. */
function rustixCalls(opened: ProgramFile, named: readonly Section[], wanted: readonly string[]): string[] {
  const table = named.find(({ name }) => name === '.strtab');
  const symbols = table ? opened.read(table.offset, table.size, MOST_CODE) : Buffer.alloc(0);
  return wanted.filter((name) => symbols.includes(`6rustix7backend3net8syscalls${name.length}${name}`));
}

/** Of a piece of its code, or of the names that it imports. */
const MOST_CODE = 16 * 1024 * 1024;

function programHeaders(opened: ProgramFile, head: Buffer): ProgramHeader[] {
  const entry = head.readUInt16LE(54);
  const table = opened.read(head.readBigUInt64LE(32), entry * head.readUInt16LE(56));
  const headers: ProgramHeader[] = [];
  for (let at = 0; entry >= 56 && at + entry <= table.length; at += entry) {
    const [offset, address, size] = [8, 16, 32].map((field) => Number(table.readBigUInt64LE(at + field)));
    headers.push({ type: table.readUInt32LE(at), flags: table.readUInt32LE(at + 4), offset, address, size });
  }
  return headers;
}

/** The dynamic loader that an ELF program names. */
function interpreterOf(opened: ProgramFile, headers: readonly ProgramHeader[]): string | undefined {
  const named = headers.find((header) => header.type === PT_INTERP);
  return named && opened.read(named.offset, named.size).toString('utf8').split('\0', 1)[0];
}

/** Go's linker leaves a note with its build id, unless an option forbids it, and a section about the build. */
function isGo(opened: ProgramFile, headers: readonly ProgramHeader[], named: readonly Section[]): boolean {
  const notes = headers.filter((header) => header.type === PT_NOTE);
  return (
    notes.some(({ offset, size }) => hasGoNote(opened.read(offset, size))) ||
    named.some(({ name }) => name === '.go.buildinfo')
  );
}

function hasGoNote(notes: Buffer): boolean {
  const whole = (size: number) => Math.ceil(size / 4) * 4;
  for (let at = 0; at + 16 <= notes.length; ) {
    const [nameSize, size] = [notes.readUInt32LE(at), notes.readUInt32LE(at + 4)];
    if (nameSize === 4 && notes.toString('latin1', at + 12, at + 16) === 'Go\0\0') return true;
    at += 12 + whole(nameSize) + whole(size);
  }
  return false;
}

interface Section {
  readonly name: string;
  readonly offset: number;
  readonly size: number;
}

function sections(opened: ProgramFile, head: Buffer): Section[] {
  const entry = head.readUInt16LE(58);
  const table = opened.read(head.readBigUInt64LE(40), entry * head.readUInt16LE(60));
  const namesAt = entry * head.readUInt16LE(62);
  if (entry < 64 || namesAt + entry > table.length) return [];
  const part = (at: number) => [24, 32].map((field) => Number(table.readBigUInt64LE(at + field)));
  const [offsetOfNames, sizeOfNames] = part(namesAt);
  const names = opened.read(offsetOfNames, sizeOfNames).toString('latin1');
  const found: Section[] = [];
  for (let at = 0; at + entry <= table.length; at += entry) {
    const start = table.readUInt32LE(at);
    const [offset, size] = part(at);
    found.push({ name: names.slice(start).split('\0', 1)[0], offset, size });
  }
  return found;
}

const SET_USER_ID = 0o4000;
const SET_GROUP_ID = 0o2000;

/** The loader ignores what is to be preloaded where a program gets another user's rights. */
function refusePrivileged(file: string): void {
  const { mode, uid, gid } = statSync(file);
  const asUser = (mode & SET_USER_ID) !== 0 && uid !== process.geteuid?.();
  const asGroup = (mode & SET_GROUP_ID) !== 0 && gid !== process.getegid?.();
  if ((!asUser && !asGroup) || /^NoNewPrivs:\s*1/m.test(readFileSync('/proc/self/status', 'utf8'))) return;
  const bit = asUser ? `setuid, of user ${uid}` : `setgid, of group ${gid}`;
  throw new ProgramError(
    'privileged',
    file,
    `is ${bit}: it runs with rights that are not this user's, and nothing can be preloaded into it, so it would run outside ` +
      'of its cluster; start it as that user, or use a copy without the bit',
  );
}

function openProgram(file: string): ProgramFile {
  try {
    return new ProgramFile(file);
  } catch (error) {
    // Executable but not readable: nothing can be said about it.
    throw new ProgramError('not-executable', file, `cannot be read (${(error as NodeJS.ErrnoException).code})`);
  }
}

/**
 * Adds to package-lock.json the optional packages of other platforms that `npm install` leaves out of it (when it finds
 * node_modules in place, or cannot reach a package that it would not install anyway). Without them `npm ci` refuses the
 * lock file. They carry no integrity: npm never fetches them except on the platform that they are for.
 *
 * Runs after every `npm install` that projen does.
 */
import * as fs from 'node:fs';
import * as path from 'node:path';

interface LockedPackage {
  readonly version?: string;
  readonly dev?: boolean;
  readonly optionalDependencies?: Readonly<Record<string, string>>;
}

/** The parts of a package's name that say what it is for, as npm writes them in a lock file. */
function platformOf(name: string) {
  const words = name.split('/').at(-1)!.split('-');
  const of = (known: readonly string[]) => known.filter((word) => words.includes(word)).slice(0, 1);
  const os = of(['android', 'darwin', 'freebsd', 'linux', 'openharmony', 'win32']);
  const libc = words.some((word) => word.startsWith('musl')) ? ['musl'] : words.includes('gnu') ? ['glibc'] : [];
  const cpu = of(['arm64', 'x64', 'arm', 'ia32', 'loong64', 'ppc64', 'riscv64', 's390x']);
  return { cpu, libc, os };
}

/** Where Node looks for `name` from the package at `from`, nearest first. */
function* placesOf(from: string, name: string) {
  for (let base = from; base !== ''; base = base.slice(0, Math.max(0, base.lastIndexOf('/node_modules/')))) {
    yield `${base}/node_modules/${name}`;
  }
  yield `node_modules/${name}`;
}

const file = path.resolve(__dirname, '..', 'package-lock.json');
const before = fs.readFileSync(file, 'utf8');
const lock: { packages: Record<string, LockedPackage> } = JSON.parse(before);
for (const [from, { dev, optionalDependencies }] of Object.entries(lock.packages)) {
  for (const [name, version] of Object.entries(optionalDependencies ?? {})) {
    if (from === '' || [...placesOf(from, name)].some((place) => place in lock.packages)) continue;
    if (!/^\d/.test(version))
      throw new Error(`${from} wants ${name} ${version}: no exact version to put in the lock file`);
    const { cpu, libc, os } = platformOf(name);
    if (!cpu.length || !os.length) throw new Error(`${from} wants ${name}, whose name does not tell its platform`);
    // In npm's order, so that npm leaves the file as it is.
    const entry = { version, cpu, dev, libc: libc.length ? libc : undefined, optional: true, os };
    lock.packages[`node_modules/${name}`] = entry;
  }
}
const [root, ...rest] = Object.entries(lock.packages);
lock.packages = Object.fromEntries([root, ...rest.sort(([a], [b]) => a.localeCompare(b, 'en'))]);
const after = `${JSON.stringify(lock, undefined, 2)}\n`;
if (after !== before) fs.writeFileSync(file, after);

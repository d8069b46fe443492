/**
 * The environment that guests get. It starts empty: what Lambda gives the function process (credentials of the
 * function's role, its internals) is the supervisor's business and no guest's, unless the host names it. What there is:
 *
 *   PATH              the function's own, with /var/task/bin and /var/task in front and the sbin folders behind
 *   HOME              /tmp, the only place where a function may write
 *   HOSTNAME          the host's name
 *   IMAGINARY_NODE_*, IMAGINARY_NODES, IMAGINARY_MEMBERSHIP   who it is in the cluster: see files/node-files.ts
 *   LANG, TZ, TMPDIR, LD_LIBRARY_PATH, AWS_REGION, AWS_DEFAULT_REGION   as the function has them
 *   the host's own `environment`, which wins over all of these
 *   IMAGINARY_DIR, IMAGINARY_GUEST, LD_PRELOAD   ours
 *
 * A host that needs more of the function's variables names them in its environment:
 * `IMAGINARY_PASS_ENV: 'AWS_ACCESS_KEY_ID,AWS_SECRET_ACCESS_KEY,AWS_SESSION_TOKEN'`, or with a pattern: `'AWS_*'`.
 */
import { existsSync } from 'node:fs';
import { RUN_DIR_ENV } from '../../../contract/abi/shim';
import { layerFile } from '../../../contract/platform/layer-files';
import type { Libc } from './program';

export type Environment = Record<string, string>;
type Given = Readonly<Record<string, string | undefined>>;

/** Marks processes that descend from a guest. */
export const GUEST_ENV = 'IMAGINARY_GUEST';
/** Where `imaginary join` may have the cluster key from: no guest's business. */
export const CLUSTER_KEY_ENV = 'IMAGINARY_KEY';
const PASS_ENV = 'IMAGINARY_PASS_ENV';
const PASSED = ['LANG', 'TZ', 'TMPDIR', 'LD_LIBRARY_PATH', 'AWS_REGION', 'AWS_DEFAULT_REGION'];
const CODE_PATH = ['/var/task/bin', '/var/task'];
const SYSTEM_PATH = ['/usr/local/bin', '/usr/bin', '/bin', '/opt/bin', '/usr/local/sbin', '/usr/sbin', '/sbin'];

/**
 * @param own the host's own environment, from the manifest
 * @param given what the function process has
 * @param node see `nodeEnvironment`
 */
export function guestEnvironment(
  host: string,
  own: Readonly<Environment>,
  given: Given,
  node: Readonly<Environment> = {},
): Environment {
  const path = [...new Set([...CODE_PATH, ...(given.PATH?.split(':') ?? []), ...SYSTEM_PATH])].filter(Boolean);
  const base: Environment = { PATH: path.join(':'), HOME: '/tmp', HOSTNAME: host, ...node };
  for (const name of Object.keys(given)) {
    const value = given[name];
    if (value !== undefined && (PASSED.includes(name) || isAskedFor(name, own[PASS_ENV]))) base[name] = value;
  }
  const { [PASS_ENV]: _, ...rest } = own;
  return { ...base, ...rest };
}

/** Of a guest that is the operator's own program on a machine of theirs: all that it was started with. */
export function ownEnvironment(
  host: string,
  own: Readonly<Environment>,
  given: Given,
  node: Readonly<Environment> = {},
): Environment {
  const base: Environment = { HOSTNAME: host, ...node };
  for (const [name, value] of Object.entries(given)) {
    if (value !== undefined && name !== CLUSTER_KEY_ENV && name !== 'HOSTNAME') base[name] = value;
  }
  return { ...base, ...own };
}

function isAskedFor(name: string, patterns = ''): boolean {
  return patterns
    .split(',')
    .map((pattern) => pattern.trim())
    .some(
      (pattern) => (pattern.endsWith('*') ? name.startsWith(pattern.slice(0, -1)) : name === pattern) && pattern !== '',
    );
}

/** Adds what makes a process a guest. */
export function underShim(environment: Given, runDir: string, shim: string): Environment {
  const result: Environment = {};
  for (const [name, value] of Object.entries(environment)) if (value !== undefined) result[name] = value;
  const preload = [shim, ...(result.LD_PRELOAD ?? '').split(/[: ]+/)].filter(Boolean);
  return { ...result, [RUN_DIR_ENV]: runDir, LD_PRELOAD: [...new Set(preload)].join(':') };
}

/** A layer is not complete. */
export class ShimMissingError extends Error {
  readonly code = 'SHIM_MISSING';
  constructor(
    readonly libc: Libc,
    readonly paths: readonly string[],
  ) {
    super(`the shim for ${libc} is not there (looked at ${paths.join(', ')})`);
    this.name = 'ShimMissingError';
  }
}

/**
 * The shim for a C library: in `dir` when given; else beside the running bundle; else, when run from source, in the
 * built layer of this machine's architecture.
 * @throws ShimMissingError
 */
export function findShim(libc: Libc, dir?: string): string {
  const paths = layerFile('shim', `shim-${libc}.so`, dir);
  const path = paths.find((p) => existsSync(p));
  if (!path) throw new ShimMissingError(libc, paths);
  return path;
}

import * as v from 'valibot';
import { formatAddress, hostRange, inCidr, parseAddress, parseCidr } from './address';
import { AddressCollisionError, type AddressRequest, assignAddresses } from './assign';
import {
  dataPortOf,
  LIMIT_DEFAULTS,
  MANIFEST_DEFAULTS,
  type Manifest,
  MOST_LIMIT,
  MOST_TIMEOUT,
  MOST_WAIT,
} from './manifest';
import type { Same } from './same';

/** A manifest (or a part of one) that cannot work. `message` names each path, its value and what is allowed. */
export class ManifestError extends Error {
  constructor(readonly problems: readonly string[]) {
    super(`the manifest is not valid:\n${problems.map((p) => `  ${p}`).join('\n')}`);
    this.name = 'ManifestError';
  }
}

/** RFC 1123 label, lower case. */
export const HOST_NAME_RULE = '1-63 lower-case letters, digits or hyphens, starting and ending with a letter or digit';
export const HOST_NAME_PATTERN = /^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$/;
export const CLUSTER_NAME_RULE = '1-32 letters, digits or hyphens, starting with a letter or digit';
export const CLUSTER_NAME_PATTERN = /^[a-zA-Z0-9][a-zA-Z0-9-]{0,31}$/;
/** `node-ID` is the canonical name of every host, so no host may be called that. */
export const RESERVED_NAME_PATTERN = /^(node-\d+|localhost|seed)$/;

const D = MANIFEST_DEFAULTS;
const integer = (low: number, high: number, what: string) => {
  const rule = `${what} from ${low} to ${high}`;
  return v.pipe(v.number(rule), v.integer(rule), v.minValue(low, rule), v.maxValue(high, rule));
};
const text = (rule = 'a string') => v.string(rule);
const NO_NUL = 'a string without NUL characters';
const cString = v.pipe(
  text(),
  v.check((s) => !s.includes('\0'), NO_NUL),
);
const hostName = v.pipe(
  text(HOST_NAME_RULE),
  v.regex(HOST_NAME_PATTERN, HOST_NAME_RULE),
  v.check(
    (s) => !RESERVED_NAME_PATTERN.test(s),
    "a name that the cluster does not reserve ('node-ID', 'localhost', 'seed')",
  ),
);
const ADDRESS_RULE = "an IPv4 address inside the cluster's cidr";
const FUNCTION_NAME_RULE = '1-64 letters, digits, hyphens or underscores';
const CIDR_RULE = "an IPv4 block from /16 to /28 with no host bits set, like '100.64.0.0/16'";
export const REMAPPED_PATH_RULE =
  "an absolute path to something beneath '/', of at most 1,024 characters, without '.', '..', '//' or a slash at its end";
/** At most this many on a host; the shim has room for these and for the cluster's own. */
export const MOST_REMAPPED_FILES = 64;
export function isRemappedPath(path: string): boolean {
  return /^(\/(?!\.{1,2}(\/|$))[^/\0]+)+$/.test(path) && path.length <= 1_024;
}
/** A target beneath its own path could never be named itself. */
export function isInside(path: string, folder: string): boolean {
  return path === folder || path.startsWith(`${folder}/`);
}
const remappedPath = v.pipe(text(REMAPPED_PATH_RULE), v.check(isRemappedPath, REMAPPED_PATH_RULE));

const hostSchema = v.strictObject({
  name: hostName,
  aliases: v.optional(v.array(hostName, 'an array of names'), []),
  address: v.optional(
    v.pipe(
      text(ADDRESS_RULE),
      v.check((s) => parseAddress(s) !== undefined, ADDRESS_RULE),
    ),
  ),
  kind: v.optional(v.picklist(['function', 'instance'], "'function' or 'instance'"), 'function'),
  functionName: v.optional(v.pipe(text(FUNCTION_NAME_RULE), v.regex(/^[a-zA-Z0-9-_]{1,64}$/, FUNCTION_NAME_RULE))),
  command: v.optional(
    v.pipe(
      v.array(cString, 'an array of strings'),
      v.minLength(1, 'at least the name of a program'),
      v.check((c) => c[0] !== '', 'a first element that names a program'),
    ),
  ),
  environment: v.optional(
    v.record(
      v.pipe(text(), v.regex(/^[^=\0]+$/, "a variable name without '='")),
      cString,
      'names and values, both strings',
    ),
    {},
  ),
  workingDirectory: v.optional(v.pipe(cString, v.startsWith('/', 'an absolute path')), D.workingDirectory),
  remappedFiles: v.optional(
    v.pipe(
      v.record(remappedPath, remappedPath, 'paths and where they are, both strings'),
      v.check((files) => Object.keys(files).length <= MOST_REMAPPED_FILES, `at most ${MOST_REMAPPED_FILES} paths`),
      v.check(
        (files) => Object.entries(files).every(([path, target]) => !isInside(target, path)),
        'paths that are remapped to places outside of themselves',
      ),
    ),
    {},
  ),
  memorySize: v.optional(integer(128, 10_240, 'a whole number of MB'), D.memorySize),
  timeout: v.optional(integer(1_000, MOST_TIMEOUT, 'a whole number of milliseconds'), D.timeout),
  idleTimeout: v.optional(integer(100, MOST_WAIT, 'a whole number of milliseconds'), D.idleTimeout),
  releaseTimeout: v.optional(integer(100, MOST_WAIT, 'a whole number of milliseconds'), D.releaseTimeout),
  allocationTimeout: v.optional(integer(100, 900_000, 'a whole number of milliseconds'), D.allocationTimeout),
  settleTime: v.optional(integer(0, 900_000, 'a whole number of milliseconds'), D.settleTime),
  releasePolicy: v.optional(
    v.picklist(['no-connections', 'no-traffic'], "'no-connections' or 'no-traffic'"),
    D.releasePolicy,
  ),
});

const startsPerMinute = integer(1, MOST_LIMIT, 'a whole number of hosts a minute');
const limitsSchema = v.strictObject({
  maxAllocationsPerMinute: v.optional(startsPerMinute, LIMIT_DEFAULTS.maxAllocationsPerMinute),
  maxAllocationsPerMinutePerMember: v.optional(startsPerMinute, LIMIT_DEFAULTS.maxAllocationsPerMinutePerMember),
  maxRunningHosts: v.optional(integer(1, MOST_LIMIT, 'a whole number of hosts'), LIMIT_DEFAULTS.maxRunningHosts),
});

const schema = v.strictObject({
  version: v.literal(1, '1'),
  cluster: v.strictObject({
    name: v.pipe(text(CLUSTER_NAME_RULE), v.regex(CLUSTER_NAME_PATTERN, CLUSTER_NAME_RULE)),
    cidr: v.optional(
      v.pipe(
        text(CIDR_RULE),
        v.check((s) => {
          const block = parseCidr(s);
          return block !== undefined && block.prefix >= 16 && block.prefix <= 28;
        }, CIDR_RULE),
      ),
      D.cidr,
    ),
    limits: v.optional(limitsSchema, {}),
  }),
  seed: v.optional(
    v.pipe(
      v.strictObject({
        port: v.optional(integer(1, 65_535, 'a port number'), D.seedPort),
        dataPort: v.optional(integer(1, 65_535, 'a port number')),
      }),
      v.transform(({ port, dataPort }) => ({ port, dataPort: dataPort ?? dataPortOf(port) })),
    ),
    {},
  ),
  hosts: v.array(hostSchema, 'an array of hosts'),
});

/**
 * Validates a manifest and fills in defaults, also those that follow from names.
 * @param input the parsed JSON, or its text
 * @throws ManifestError with every problem found
 */
export function parseManifest(input: unknown): Manifest {
  const value = typeof input === 'string' ? parseJson(input) : input;
  const result = v.safeParse(schema, value);
  if (!result.success) throw new ManifestError(result.issues.map(describe));
  const manifest = complete(result.output);
  const problems = crossChecks(manifest, result.output);
  if (problems.length > 0) throw new ManifestError(problems);
  return manifest;
}

type Given = v.InferOutput<typeof schema>;
type GivenHost = Given['hosts'][number];
/** As the schema has it, with what follows from names. */
type Whole = Omit<Given, 'hosts'> & { hosts: Array<Omit<GivenHost, 'address'> & { address: string }> };

/** Fills in what follows from a host's name, by the constructs' rules: its address and its function's name. */
function complete(given: Given): Manifest {
  const block = parseCidr(given.cluster.cidr)!;
  const hosts = given.hosts.map((host) => {
    const address = host.address ?? formatAddress(assignAddresses(block, [{ name: host.name }]).get(host.name)!);
    if (host.kind === 'instance') return { ...host, address };
    return { ...host, address, functionName: host.functionName ?? `${given.cluster.name}-${host.name}` };
  });
  const whole: Whole = { ...given, hosts };
  const manifest: Same<Whole, Manifest> extends true ? Manifest : never = whole;
  return manifest;
}

/** Addresses that follow from names and that another host has, each with a free one to choose. */
function collisions({ cluster, hosts }: Given): string[] {
  const names = new Set<string>();
  const chosen = new Set<number>();
  const requests: AddressRequest[] = [];
  for (const { name, address } of hosts) {
    // A name that is taken twice is another problem, and so are two addresses that were chosen.
    const pinned = address === undefined ? undefined : parseAddress(address)!;
    if (names.has(name) || (pinned !== undefined && chosen.has(pinned))) continue;
    names.add(name);
    if (pinned !== undefined) chosen.add(pinned);
    requests.push({ name, pinned });
  }
  try {
    assignAddresses(parseCidr(cluster.cidr)!, requests);
    return [];
  } catch (error) {
    if (error instanceof AddressCollisionError) return error.message.split('\n');
    throw error;
  }
}

function parseJson(input: string): unknown {
  try {
    return JSON.parse(input);
  } catch (error) {
    throw new ManifestError([`not JSON: ${(error as Error).message}`]);
  }
}

function describe(issue: v.BaseIssue<unknown>): string {
  const where = v.getDotPath(issue as v.BaseIssue<unknown>) ?? 'manifest';
  const host = hostOf(issue);
  const on = host === undefined ? '' : ` on host '${host}'`;
  if (issue.type === 'strict_object' && issue.expected === 'never') return `${where}: this field is unknown${on}`;
  // For a missing field, valibot says which; for something that is no object at all, that it wants one.
  const rule = issue.type !== 'strict_object' ? issue.message : issue.expected === 'Object' ? 'an object' : 'required';
  if (issue.input === undefined)
    return `${where}: is missing${on}; allowed: ${rule}`.replace('allowed: required', 'required');
  return `${where}: is ${show(issue.input)}${on}; allowed: ${rule}`;
}

/** The name of the host that an issue is about. */
function hostOf(issue: v.BaseIssue<unknown>): string | undefined {
  const [list, element] = issue.path ?? [];
  const name = list?.key === 'hosts' ? (element?.value as { name?: unknown } | null | undefined)?.name : undefined;
  return typeof name === 'string' && issue.input !== name ? name : undefined;
}

/** A value as it stood in the manifest, cut to what is worth reading. */
function show(value: unknown): string {
  const text = typeof value === 'number' ? String(value) : (JSON.stringify(value) ?? String(value));
  return text.length > 100 ? `${text.slice(0, 100)}…` : text;
}

/** Rules across fields: unique names and addresses, addresses inside the block, fields that a kind requires. */
function crossChecks(manifest: Manifest, given: Given): string[] {
  const problems = collisions(given);
  const block = parseCidr(manifest.cluster.cidr)!;
  const { first, last } = hostRange(block);
  const { port, dataPort } = manifest.seed;
  if (port === dataPort) problems.push(`seed.dataPort: is ${dataPort}; allowed: another port than seed.port`);
  const names = new Map<string, string>();
  const addresses = new Map<string, string>();
  const functions = new Map<string, string>();
  manifest.hosts.forEach((host, i) => {
    const at = `hosts.${i}`;
    for (const name of [host.name, ...host.aliases]) {
      const other = names.get(name);
      if (other) problems.push(`${at}: the name '${name}' is taken by ${other}; every name and alias must be unique`);
      names.set(name, `${at} ('${host.name}')`);
    }
    const address = parseAddress(host.address)!;
    if (!inCidr(block, address) || address < first || address > last) {
      const allowed = `${formatAddress(first)} to ${formatAddress(last)} (cidr ${manifest.cluster.cidr})`;
      problems.push(`${at}.address: is "${host.address}" on host '${host.name}'; allowed: ${allowed}`);
    }
    if (given.hosts[i].address !== undefined) {
      const sameAddress = addresses.get(host.address);
      if (sameAddress) problems.push(`${at}.address: "${host.address}" is the address of ${sameAddress} too`);
      addresses.set(host.address, `${at} ('${host.name}')`);
    }
    if (host.kind === 'function') {
      const { length } = host.functionName!;
      if (length > 64) {
        const longer = `"${host.functionName}", which follows from the names, has ${length} characters`;
        problems.push(
          `${at}.functionName: is missing on host '${host.name}': ${longer}; allowed: ${FUNCTION_NAME_RULE}`,
        );
      }
      if (!host.command)
        problems.push(`${at}.command: is missing on host '${host.name}'; required for kind 'function'`);
      const sameFunction = host.functionName && functions.get(host.functionName);
      if (sameFunction)
        problems.push(`${at}.functionName: "${host.functionName}" is the function of ${sameFunction} too`);
      if (host.functionName) functions.set(host.functionName, `${at} ('${host.name}')`);
    }
  });
  return problems;
}

/** Rules on single values. Every error says what the value is, what is allowed, and what to do. */
import { type Duration, Token } from 'aws-cdk-lib';
import { type Runtime, RuntimeFamily } from 'aws-cdk-lib/aws-lambda';
import type { Construct } from 'constructs';
import {
  CIDR,
  CIDR_RULE,
  type Cidr,
  FUNCTION_NAME_LENGTH,
  formatAddress,
  HOST_NAME_PATTERN,
  HOST_NAME_RULE,
  hostRange,
  isInside,
  isRemappedPath,
  type Limit,
  MOST_REMAPPED_FILES,
  parseAddress,
  parseCidr,
  parseClusterCidr,
  REMAPPED_PATH_RULE,
  RESERVED_NAME_PATTERN,
} from '../../contract/manifest';

/** A prop that cannot work: stops synthesis at the line that passed it. */
export function refuse(scope: Construct, message: string): never {
  throw new Error(`${scope.node.path}: ${message}`);
}

/** The manifest is a file written at synthesis: what goes into it must be known by then. */
export function requireKnown(scope: Construct, prop: string, value: unknown, advice: string): void {
  if (Token.isUnresolved(value)) refuseUnknown(scope, prop, advice);
}

function refuseUnknown(scope: Construct, prop: string, advice: string): never {
  refuse(
    scope,
    `${prop} is known only at deployment, but is part of the manifest, which is written at synthesis; ${advice}`,
  );
}

export function checkHostName(scope: Construct, prop: string, name: string): void {
  requireKnown(scope, prop, name, 'give it as a literal string');
  if (typeof name !== 'string')
    refuse(scope, `${prop} is ${JSON.stringify(name) ?? 'missing'}; allowed: ${HOST_NAME_RULE}`);
  if (!HOST_NAME_PATTERN.test(name)) refuse(scope, `${prop} is '${name}'; allowed: ${HOST_NAME_RULE}`);
  if (RESERVED_NAME_PATTERN.test(name)) {
    refuse(scope, `${prop} is '${name}', which the cluster uses itself; choose another name`);
  }
}

export function checkFunctionName(scope: Construct, name: string, cluster: string, host: string): void {
  if (name.length <= FUNCTION_NAME_LENGTH) return;
  const rule = `a function name has at most ${FUNCTION_NAME_LENGTH} characters and consists of the cluster's name and the host's`;
  refuse(
    scope,
    `the function of host '${host}' would be called '${name}' (${name.length} characters); ${rule}: ` +
      `shorten the host's name to ${FUNCTION_NAME_LENGTH - 1 - cluster.length} characters, or set a shorter 'clusterName'`,
  );
}

export function checkCommand(scope: Construct, command: readonly string[], prop = 'command'): void {
  requireKnown(scope, prop, command, 'give it as literal strings');
  if (command.length === 0 || command[0] === '') {
    refuse(scope, `${prop} is ${JSON.stringify(command)}; its first element must name the program that the host runs`);
  }
  command.forEach((word, i) => {
    requireKnown(scope, `${prop}[${i}]`, word, `pass the value in 'environment' and read it from there`);
  });
}

export function checkRemappedFiles(scope: Construct, files: { [path: string]: string }): void {
  requireKnown(scope, 'remappedFiles', files, 'give it as literal strings');
  const entries = Object.entries(files);
  if (entries.length > MOST_REMAPPED_FILES) {
    refuse(
      scope,
      `remappedFiles has ${entries.length} paths; allowed: at most ${MOST_REMAPPED_FILES}; remap directories`,
    );
  }
  for (const [path, target] of entries) {
    const prop = `remappedFiles['${path}']`;
    requireKnown(scope, `a path of remappedFiles`, path, 'give it as a literal string');
    requireKnown(scope, prop, target, 'give it as a literal string');
    if (!isRemappedPath(path)) refuse(scope, `remappedFiles names '${path}'; allowed: ${REMAPPED_PATH_RULE}`);
    if (!isRemappedPath(target)) refuse(scope, `${prop} is '${target}'; allowed: ${REMAPPED_PATH_RULE}`);
    if (isInside(target, path)) {
      refuse(scope, `${prop} is '${target}', which is inside of the path itself; put the files elsewhere`);
    }
  }
}

export function checkWhole(scope: Construct, prop: string, value: number, limit: Omit<Limit, 'default'>): number {
  const { low, high, unit } = limit;
  requireKnown(scope, prop, value, 'give it as a literal number');
  if (Number.isInteger(value) && value >= low && value <= high) return value;
  return refuse(scope, `${prop} is ${value}; allowed: a whole number of ${unit} from ${low} to ${high}`);
}

/** Checks a duration and gives it in milliseconds. */
export function milliseconds(scope: Construct, prop: string, value: Duration, { low, high }: Limit): number {
  if (value.isUnresolved()) refuseUnknown(scope, prop, 'give it as a literal duration');
  const ms = value.toMilliseconds({ integral: false });
  // Lambda counts a function's timeout in seconds, the rest is ours and counted in milliseconds.
  const step = prop === 'timeout' ? 1_000 : 1;
  if (ms % step === 0 && ms >= low && ms <= high) return ms;
  const unit = step === 1 ? '' : 'a whole number of seconds, ';
  const range = `${unit}${seconds(low)} to ${seconds(high)}`;
  return refuse(scope, `${prop} is ${seconds(ms)}; allowed: ${range}`);
}

const seconds = (ms: number) => `${ms / 1000} s`;

/** Blocks that no host can have an address of: a system treats them in a way of its own. */
const SPECIAL_BLOCKS = [
  ['which means this network', '0.0.0.0/8'],
  ['which is every host itself', '127.0.0.0/8'],
  ['where Lambda and EC2 have their own services', '169.254.0.0/16'],
  ['which is for multicast', '224.0.0.0/4'],
  ['which is reserved', '240.0.0.0/4'],
] as const;

const overlap = (a: Cidr, b: Cidr) => a.base < b.base + b.size && b.base < a.base + a.size;

/** Checks the block of virtual addresses and gives it as numbers. */
export function clusterBlock(scope: Construct, text: string): Cidr {
  requireKnown(scope, 'cidr', text, 'give it as a literal string');
  const block = parseCidr(text);
  const taken = block && SPECIAL_BLOCKS.find(([, special]) => overlap(block, parseCidr(special)!));
  if (taken) {
    refuse(scope, `cidr is '${text}', which is in ${taken[1]}, ${taken[0]}; choose another, like '${CIDR.default}'`);
  }
  return parseClusterCidr(text) ?? refuse(scope, `cidr is '${text}'; allowed: ${CIDR_RULE}`);
}

/** Checks a pinned address and gives it as a number. */
export function pinnedAddress(scope: Construct, block: Cidr, text: string, count = 1): number {
  requireKnown(scope, 'address', text, 'give it as a literal string');
  const { first, last } = hostRange(block);
  const value = parseAddress(text);
  if (value !== undefined && value >= first && value + count - 1 <= last) return value;
  const rule = `an IPv4 address from ${formatAddress(first)} to ${formatAddress(last - count + 1)}`;
  return refuse(
    scope,
    `address is '${text}'; allowed: ${rule} (the cluster's cidr without what it reserves); choose one, or leave it out`,
  );
}

export function checkRuntime(scope: Construct, runtime: Runtime): void {
  const version = /^nodejs(\d+)\.x$/.exec(runtime.name)?.[1];
  const modern = runtime.isVariable || (version !== undefined && Number(version) >= 20);
  if (runtime.family === RuntimeFamily.NODEJS && modern) return;
  refuse(
    scope,
    `runtime is '${runtime.name}'; allowed: a Node.js runtime, 20 or newer, because the supervisor runs in it. ` +
      `Leave it out: the guest's own interpreter comes in 'code' or in a layer`,
  );
}

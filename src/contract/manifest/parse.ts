import * as v from 'valibot';
import { formatAddress, hostRange, inCidr, parseAddress, parseCidr } from './address';
import { AddressCollisionError, type AddressRequest, assignAddresses, requestOfService } from './assign';
import { endProblem } from './end';
import { exposeProblems } from './expose';
import { FUNCTION_NAME_LENGTH, FUNCTION_NAME_RULE, HOST_DEFAULTS } from './limits';
import { type GivenManifest, type Manifest, type ManifestHost, manifestSchema } from './manifest';
import { edgeProblems } from './prefetch';
import { memberProblems, orService } from './service';
import { barrierProblems } from './start-barrier';

/** A manifest (or a part of one) that cannot work. `message` names each path, its value and what is allowed. */
export class ManifestError extends Error {
  constructor(readonly problems: readonly string[]) {
    super(`the manifest is not valid:\n${problems.map((p) => `  ${p}`).join('\n')}`);
    this.name = 'ManifestError';
  }
}

/**
 * Validates a manifest and fills in defaults, also those that follow from names.
 * @param input the parsed JSON, or its text
 * @throws ManifestError with every problem found
 */
export function parseManifest(input: unknown): Manifest {
  const value = typeof input === 'string' ? parseJson(input) : input;
  const result = v.safeParse(manifestSchema, value);
  if (!result.success) throw new ManifestError(result.issues.map(describe));
  const manifest = complete(result.output);
  const problems = crossChecks(manifest, result.output);
  if (problems.length > 0) throw new ManifestError(problems);
  return manifest;
}

/** Fills in what follows from a host's name, by the constructs' rules: its address and its function's name. */
function complete(given: GivenManifest): Manifest {
  const block = parseCidr(given.cluster.cidr)!;
  const addressOf = ({ name, address }: { readonly name: string; readonly address?: string }) =>
    address ?? formatAddress(assignAddresses(block, [{ name }]).get(name)!);
  const hosts = given.hosts.map((host) => {
    const address = addressOf(host);
    if (host.kind === 'instance') return { ...host, address };
    const functionName = host.functionName ?? `${given.cluster.name}-${host.name}`;
    return {
      ...host,
      address,
      functionName,
      workingDirectory: host.workingDirectory ?? HOST_DEFAULTS.workingDirectory,
    };
  });
  const services = given.services.map((service) => ({
    ...service,
    address: addressOf({ ...service, name: requestOfService(service.name) }),
  }));
  return { ...given, hosts, services };
}

/** Addresses that follow from names and that another host has, each with a free one to choose. */
function collisions({ cluster, hosts, services }: GivenManifest): string[] {
  const names = new Set<string>();
  const chosen = new Set<number>();
  const requests: AddressRequest[] = [];
  const named = services.map((service) => ({ ...service, name: requestOfService(service.name) }));
  for (const { name, address } of [...hosts, ...named]) {
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

type Addressed = { readonly name: string; readonly address: string };

/** Rules across fields: unique names and addresses, addresses inside the block, fields that a kind requires. */
function crossChecks(manifest: Manifest, given: GivenManifest): string[] {
  const problems = collisions(given);
  const block = parseCidr(manifest.cluster.cidr)!;
  const { first, last } = hostRange(block);
  const { port, dataPort } = manifest.seed;
  if (port === dataPort) problems.push(`seed.dataPort: is ${dataPort}; allowed: another port than seed.port`);
  const names = new Map<string, string>();
  const addresses = new Map<string, string>();
  const functions = new Map<string, { readonly at: string; readonly host: ManifestHost }>();
  const checkAddress = (at: string, on: string, { name, address: text }: Addressed, chosen: boolean) => {
    const address = parseAddress(text)!;
    if (!inCidr(block, address) || address < first || address > last) {
      const allowed = `${formatAddress(first)} to ${formatAddress(last)} (cidr ${manifest.cluster.cidr})`;
      problems.push(`${at}.address: is "${text}" on ${on}; allowed: ${allowed}`);
    }
    if (!chosen) return;
    const sameAddress = addresses.get(text);
    if (sameAddress) problems.push(`${at}.address: "${text}" is the address of ${sameAddress} too`);
    addresses.set(text, `${at} ('${name}')`);
  };
  manifest.hosts.forEach((host, i) => {
    const at = `hosts.${i}`;
    for (const name of [host.name, ...host.aliases]) {
      const other = names.get(name);
      if (other) problems.push(`${at}: the name '${name}' is taken by ${other}; every name and alias must be unique`);
      names.set(name, `${at} ('${host.name}')`);
    }
    checkAddress(at, `host '${host.name}'`, host, given.hosts[i].address !== undefined);
    const ends = endProblem(host);
    if (ends) problems.push(`${at}: host '${host.name}': ${ends}`);
    if (host.kind === 'function') {
      const { length } = host.functionName!;
      if (length > FUNCTION_NAME_LENGTH) {
        const longer = `"${host.functionName}", which follows from the names, has ${length} characters`;
        problems.push(
          `${at}.functionName: is missing on host '${host.name}': ${longer}; allowed: ${FUNCTION_NAME_RULE}`,
        );
      }
      if (!host.command)
        problems.push(`${at}.command: is missing on host '${host.name}'; required for kind 'function'`);
      const same = functions.get(host.functionName!);
      if (same) problems.push(...sharedFunction(at, host, same));
      else functions.set(host.functionName!, { at, host });
    }
    problems.push(...poolProblems(at, host, given.hosts[i].functionName));
  });
  manifest.services.forEach((service, i) => {
    const at = `services.${i}`;
    const other = names.get(service.name);
    if (other)
      problems.push(`${at}: the name '${service.name}' is taken by ${other}; every name and alias must be unique`);
    names.set(service.name, `${at} ('${service.name}')`);
    checkAddress(at, `service '${service.name}'`, service, given.services[i].address !== undefined);
  });
  return [
    ...problems,
    ...memberProblems(given.services, manifest.hosts),
    ...companionProblems(manifest),
    ...edgeProblems(manifest),
    ...barrierProblems(manifest),
    ...exposeProblems(manifest),
  ];
}

/** What two hosts of one function must have in common: what a function has once. */
const OF_A_FUNCTION = ['memorySize', 'timeout'] as const;

function sharedFunction(at: string, host: ManifestHost, first: { at: string; host: ManifestHost }): string[] {
  const other = `${first.at} ('${first.host.name}')`;
  if (!host.pooled || !first.host.pooled) {
    const allowed = host.pooled || first.host.pooled ? "; allowed: 'pooled' on both" : '';
    return [`${at}.functionName: "${host.functionName}" is the function of ${other} too${allowed}`];
  }
  return OF_A_FUNCTION.filter((field) => host[field] !== first.host[field]).map((field) => {
    const is = `is ${host[field]} on host '${host.name}', and ${first.host[field]} on ${other}`;
    return `${at}.${field}: ${is}; allowed: the same, as both are in function "${host.functionName}"`;
  });
}

function poolProblems(at: string, { name, kind, pooled }: ManifestHost, given: string | undefined): string[] {
  if (!pooled) return [];
  if (kind === 'instance') {
    return [`${at}.pooled: is true on host '${name}'; allowed: only for kind 'function', as an instance has none`];
  }
  if (given !== undefined) return [];
  return [`${at}.functionName: is missing on host '${name}'; required with 'pooled': the function that it shares`];
}

/** Hosts that start with others: those must be there, and none may start with itself by way of others. */
function companionProblems({ hosts, services }: Manifest): string[] {
  const byName = new Map(hosts.map((host) => [host.name, host]));
  const problems: string[] = [];
  hosts.forEach((host, i) => {
    const { name, kind, startWith } = host;
    const at = `hosts.${i}.startWith`;
    if (kind === 'instance') problems.push(...ownStartProblems(`hosts.${i}`, host));
    startWith.forEach((other, j) => {
      if (byName.has(other)) return;
      problems.push(
        `${at}.${j}: is "${other}" on host '${name}'${orService(other, services)}; allowed: the name of a host`,
      );
    });
    const circle = circleFrom(name, byName);
    if (circle) problems.push(`${at}: host '${name}' starts with itself (${circle.join(' → ')}); allowed: no circle`);
  });
  return problems;
}

/** What the seed would start a host by, which it cannot do with a host instance. */
function ownStartProblems(at: string, { name, startWith, wakeSchedule, restartPolicy }: ManifestHost): string[] {
  const set = {
    startWith: startWith.length > 0,
    wakeSchedule: wakeSchedule !== undefined,
    restartPolicy: restartPolicy !== 'never',
  };
  return Object.entries(set)
    .filter(([, isSet]) => isSet)
    .map(
      ([field]) =>
        `${at}.${field}: is set on host '${name}'; allowed: only for kind 'function', as an instance starts itself`,
    );
}

function circleFrom(name: string, byName: ReadonlyMap<string, ManifestHost>): string[] | undefined {
  const seen = new Set<string>();
  const search = (path: string[]): string[] | undefined => {
    for (const next of byName.get(path.at(-1)!)?.startWith ?? []) {
      if (next === name) return [...path, next];
      if (seen.has(next)) continue;
      seen.add(next);
      const found = search([...path, next]);
      if (found) return found;
    }
    return undefined;
  };
  return search([name]);
}

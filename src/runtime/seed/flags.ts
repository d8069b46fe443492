import { parseArgs } from 'node:util';
import { LEASE_DURATION } from './lease/lease';

export interface SeedFlags {
  readonly manifest: string;
  readonly listen: string | undefined;
  readonly dataListen: string | undefined;
  readonly address: string;
  readonly key: { readonly file: string } | { readonly secret: string };
  readonly region: string | undefined;
  readonly endpoint: string | undefined;
  readonly grace: number;
  readonly flat: number | undefined;
  /** Descriptors of exposed ports, by protocol and port. */
  readonly ingress: ReadonlyMap<string, number>;
  /** Which secrets the names in `exposes` mean. */
  readonly tlsSecrets: ReadonlyMap<string, string>;
  /** There is another seed, and the one that holds the lease serves. */
  readonly lease: LeaseFlags | undefined;
}

export interface LeaseFlags {
  /** `address:port` of the other seed. */
  readonly other: string;
  readonly table: string;
  /** A lease that nobody has held yet is the other one's. */
  readonly second: boolean;
  readonly endpoint: string | undefined;
  /** Milliseconds. */
  readonly duration: number;
}

/** A flag that cannot work. `message` names it and its value. */
export class FlagError extends Error {
  constructor(message: string) {
    super(message);
    this.name = 'FlagError';
  }
}

export const USAGE = `Usage: seed.js --manifest FILE --address IP:PORT (--key-file FILE | --key-secret ARN) [options]

Runs the seed of a cluster of imaginary machines: hosts join through it, and it allocates them.

  --manifest FILE          the cluster's manifest (JSON)
  --address IP:PORT        where host functions and clients reach this seed
  --listen IP:PORT         where to listen (default: 0.0.0.0 and the manifest's seed port)
  --data-listen IP:PORT    for probes and relayed connections (default: 0.0.0.0 and the manifest's data port)
  --key-file FILE          the cluster key is this file's text; of several lines, each is a key, the newest first
  --key-secret ARN         the cluster key is this secret of AWS Secrets Manager; the version before it is accepted
                           for an hour more. Read again every five minutes
  --region REGION          AWS region (default: the environment's AWS_REGION)
  --lambda-endpoint URL    invoke functions there instead of on AWS
  --grace MS               after the start, wait this long for hosts of an earlier seed to rejoin before anything
                           is allocated (default: 2000; 0 when this is the cluster's first seed)
  --standby IP:PORT        where the cluster's other seed is reached, which runs with the same --lease-table. The one
                           that holds the lease serves; the other one waits until the lease has ended
  --lease-table NAME       the DynamoDB table of the lease. Its key is the string 'cluster'
  --second                 this is the second seed: hosts that run before there were two know the first one's address
                           only, so a lease that nobody has held yet is left to the first one for five minutes
  --lease-time MS          how long the lease lasts without being renewed, 1000 to 60000 (default: 5000)
  --dynamodb-endpoint URL  the table is there instead of on AWS
  --flat N                 hosts are at 127.N.c.d of this machine for their virtual addresses a.b.c.d: network flat of
                           the local platform. Default: hosts are where they are seen
  --ingress tcp:PORT=FD    the exposed port PORT is bound already, as descriptor FD; udp:PORT=FD for one of UDP
                           (default: the seed binds it at all addresses)
  --tls-secret NAME=ARN    the certificate that the manifest's exposes call NAME is this secret of AWS Secrets Manager
                           (default: a secret of that name)
  --help                   this text

Log lines are JSON objects on standard output. SIGTERM ends the seed and leaves the hosts running: they rejoin the next
one. SIGINT takes the cluster down: hosts are told to stop first. SIGHUP reads the cluster key and certificates again.
`;

const OPTIONS = {
  manifest: { type: 'string' },
  address: { type: 'string' },
  listen: { type: 'string' },
  'data-listen': { type: 'string' },
  'key-file': { type: 'string' },
  'key-secret': { type: 'string' },
  region: { type: 'string' },
  'lambda-endpoint': { type: 'string' },
  grace: { type: 'string' },
  standby: { type: 'string' },
  'lease-table': { type: 'string' },
  second: { type: 'boolean' },
  'lease-time': { type: 'string' },
  'dynamodb-endpoint': { type: 'string' },
  flat: { type: 'string' },
  ingress: { type: 'string', multiple: true },
  'tls-secret': { type: 'string', multiple: true },
  help: { type: 'boolean' },
} as const;

/** @returns 'help' when that is what was asked for. @throws FlagError */
export function parseFlags(args: readonly string[]): SeedFlags | 'help' {
  const given = read(args);
  if (given.help) return 'help';
  if (!given.manifest) throw new FlagError('--manifest is missing: the file that describes the cluster');
  if (!given.address)
    throw new FlagError('--address is missing: where host functions reach this seed, like 10.0.0.5:9410');
  return {
    manifest: given.manifest,
    address: endpoint('--address', given.address),
    listen: given.listen === undefined ? undefined : endpoint('--listen', given.listen),
    dataListen: given['data-listen'] === undefined ? undefined : endpoint('--data-listen', given['data-listen']),
    key: keySource(given['key-file'], given['key-secret']),
    region: given.region,
    endpoint: given['lambda-endpoint'] === undefined ? undefined : url('--lambda-endpoint', given['lambda-endpoint']),
    grace: given.grace === undefined ? 2_000 : milliseconds('--grace', given.grace),
    flat: given.flat === undefined ? undefined : flatNumber('--flat', given.flat),
    ingress: new Map((given.ingress ?? []).map(descriptor)),
    tlsSecrets: new Map((given['tls-secret'] ?? []).map(tlsSecret)),
    lease: leaseFlags(given),
  };
}

function leaseFlags(given: ReturnType<typeof read>): LeaseFlags | undefined {
  const { standby, 'lease-table': table, 'lease-time': time, 'dynamodb-endpoint': where } = given;
  if (standby === undefined) {
    const alone = (['lease-table', 'second', 'lease-time', 'dynamodb-endpoint'] as const).find(
      (flag) => given[flag] !== undefined,
    );
    if (alone !== undefined)
      throw new FlagError(`--${alone} is given without --standby: where is the cluster's other seed?`);
    return undefined;
  }
  if (!table) throw new FlagError('--standby is given without --lease-table: which table has the lease?');
  return {
    other: endpoint('--standby', standby),
    table,
    second: given.second ?? false,
    endpoint: where === undefined ? undefined : url('--dynamodb-endpoint', where),
    duration: time === undefined ? LEASE_DURATION : leaseTime('--lease-time', time),
  };
}

function read(args: readonly string[]) {
  try {
    return parseArgs({ args: [...args], options: OPTIONS, strict: true, allowPositionals: false }).values;
  } catch (error) {
    throw new FlagError((error as Error).message);
  }
}

function keySource(file: string | undefined, secret: string | undefined): SeedFlags['key'] {
  if (file && secret)
    throw new FlagError('--key-file and --key-secret are both given: which one holds the cluster key?');
  if (file) return { file };
  if (secret) return { secret };
  throw new FlagError('the cluster key is missing: give --key-file FILE or --key-secret ARN');
}

function endpoint(flag: string, value: string): string {
  const match = /^(\d{1,3}(?:\.\d{1,3}){3}):(\d{1,5})$/.exec(value);
  const valid = match?.[1].split('.').every((part) => Number(part) <= 255) && Number(match[2]) <= 65_535;
  if (!valid) throw new FlagError(`${flag} is '${value}'; allowed: an IPv4 address and a port, like 10.0.0.5:9410`);
  return value;
}

function url(flag: string, value: string): string {
  if (/^https?:\/\//.test(value) && URL.canParse(value)) return value;
  throw new FlagError(`${flag} is '${value}'; allowed: a URL, like http://127.0.0.1:9411`);
}

function milliseconds(flag: string, value: string): number {
  if (/^\d{1,7}$/.test(value)) return Number(value);
  throw new FlagError(`${flag} is '${value}'; allowed: a whole number of milliseconds`);
}

function leaseTime(flag: string, value: string): number {
  if (/^\d{4,5}$/.test(value) && Number(value) >= 1_000 && Number(value) <= 60_000) return Number(value);
  throw new FlagError(`${flag} is '${value}'; allowed: a whole number of milliseconds from 1000 to 60000`);
}

function descriptor(value: string): [string, number] {
  const [, port, fd] = /^((?:tcp|udp):\d{1,5})=(\d{1,4})$/.exec(value) ?? [];
  if (port !== undefined) return [port, Number(fd)];
  throw new FlagError(`--ingress is '${value}'; allowed: protocol, port and descriptor, like tcp:443=4 or udp:53=5`);
}

function tlsSecret(value: string): [string, string] {
  const [, name, arn] = /^([^=\s]+)=(\S+)$/.exec(value) ?? [];
  if (name !== undefined) return [name, arn];
  throw new FlagError(`--tls-secret is '${value}'; allowed: a name and a secret's ARN, like web-443=arn:aws:…`);
}

function flatNumber(flag: string, value: string): number {
  if (/^\d{1,3}$/.test(value) && Number(value) >= 1 && Number(value) <= 254) return Number(value);
  throw new FlagError(`${flag} is '${value}'; allowed: a whole number from 1 to 254`);
}

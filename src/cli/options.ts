/** Options that several commands have, and how values of options are read. */
import { isIPv4 } from 'node:net';
import { resolve } from 'node:path';
import { InvalidArgumentError, Option } from 'commander';
import { HOST_NAME_PATTERN } from '../contract/manifest/limits';
import type { WaitFor } from '../runtime/supervisor/instance/wait-for';

/** Options that every command has. */
export interface CommonOptions {
  readonly state?: string;
  readonly json?: boolean;
}

const NAT_KINDS =
  'none (a public address, which everybody reaches), one-to-one (the same behind a NAT, as on EC2), port-preserving (the default: public ports are the private ones, as on Lambda), endpoint-independent (others, but the same to every' +
  ' destination), symmetric (others for each destination), shared or shared:NAME (hosts that say the same are behind one' +
  ' public address), apart (those do not reach each other by private addresses), no-udp, loose (what comes from inside revives' +
  ' a forgotten connection)';

/** The flags of `up` that its platform's process gets, too: `PlatformFlags` of `local`, and the name of a cluster. */
export const platformOptions = (): readonly Option[] => [
  new Option('--cluster <name>', 'which cluster, when the app declares several'),
  new Option('--port <port>', 'port of the seed, instead of the one in the manifest').argParser(port),
  new Option('--sandbox <mode>', "'none': as on a machine that allows no isolation")
    .choices(['auto', 'none'])
    .default('auto'),
  new Option(
    '--network <kind>',
    "'nat': every host in a network namespace of its own behind a NAT, as on AWS, from which nothing leads out; 'flat':" +
      " loopback addresses, without any privilege; 'auto' (the default): nat where this machine allows it",
  ).choices(['auto', 'nat', 'flat']),
  new Option(
    '--nat <[host=]kind>',
    `network nat: the kind of all NATs, or of one host's (or of 'client', what runs under exec); may be given several` +
      ` times. A kind is one or more of these, joined by +: ${NAT_KINDS}`,
  ).argParser(list),
  new Option('--rtt <ms>', 'network nat: how long a packet takes over the internet and back').argParser(milliseconds),
  new Option(
    '--tls-cert <file>',
    'certificate chain (PEM) of the exposed ports at which the seed ends TLS, in place of their secrets',
  ).argParser((file) => resolve(file)),
  new Option('--tls-key <file>', 'its private key (PEM)').argParser((file) => resolve(file)),
  new Option(
    '--concurrency <count>',
    'invocations that the account may run at one time, more are throttled (default: 1000; new accounts have 10)',
  ).argParser(concurrency),
  new Option('--cpu-share', 'give each sandbox the share of a processor that Lambda gives: 1 for 1,769 MB of memory'),
  new Option('--duplicate-events', 'deliver each Event invocation twice, as Lambda now and then does'),
];

/** What `forward` and `open` have in common. */
export const forwardOptions = (): readonly Option[] => [
  new Option('--bind <address>', 'IPv4 address to listen on').argParser(ipv4).default('127.0.0.1'),
  new Option('--max-connections <count>', 'open connections at one time, more are reset')
    .argParser(connections)
    .default(1_000),
  new Option(
    '--seed <address:port>',
    'seed of a cluster that does not run on this machine, on AWS for example',
  ).argParser(endpoint),
  new Option('--standby <address:port>', "where that cluster's other seed is, if it has two").argParser(endpoint),
  new Option('--key <source>', "that cluster's key: a file, 'env:NAME', or a secret's ARN"),
];

function ipv4(text: string): string {
  if (!isIPv4(text)) throw new InvalidArgumentError('It must be an IPv4 address, such as 127.0.0.1 or 0.0.0.0.');
  return text;
}

function connections(text: string): number {
  const value = Number(text);
  if (!/^\d+$/.test(text) || value < 1 || value > 100_000) throw new InvalidArgumentError('It must be 1 to 100000.');
  return value;
}

function list(text: string, before: readonly string[] = []): string[] {
  return [...before, text];
}

export function lines(text: string): number {
  if (!/^\d{1,9}$/.test(text)) throw new InvalidArgumentError('It must be a number of lines.');
  return Number(text);
}

const UNITS: Readonly<Record<string, number>> = { s: 1_000, m: 60_000, h: 3_600_000, d: 86_400_000 };

/** @returns Unix time, milliseconds */
export function since(text: string): number {
  const [, count, unit] = /^(\d{1,9})([smhd])$/.exec(text) ?? [];
  const time = unit ? Date.now() - Number(count) * UNITS[unit] : /^\d{4}-/.test(text) ? Date.parse(text) : Number.NaN;
  if (Number.isNaN(time)) throw new InvalidArgumentError('It must be like 30s, 5m, 2h, 1d or 2026-11-29T12:00:00Z.');
  return time;
}

function milliseconds(text: string): number {
  const value = Number(text);
  if (!/^\d+(\.\d+)?$/.test(text) || value > 10_000) throw new InvalidArgumentError('It must be 0 to 10000.');
  return value;
}

function concurrency(text: string): number {
  const value = Number(text);
  if (!/^\d+$/.test(text) || value < 1 || value > 100_000) throw new InvalidArgumentError('It must be 1 to 100000.');
  return value;
}

export function port(text: string): number {
  const value = Number(text);
  if (!/^\d+$/.test(text) || value < 1 || value > 65_535) throw new InvalidArgumentError('It must be 1 to 65535.');
  return value;
}

export function seconds(text: string): number {
  const value = Number(text);
  if (!/^\d+$/.test(text) || value > 86_400) throw new InvalidArgumentError('It must be 0 to 86400.');
  return value;
}

export function endpoint(text: string): string {
  const [, host, number] = /^([A-Za-z0-9.-]+):(\d{1,5})$/.exec(text) ?? [];
  const value = Number(number);
  if (!host || value < 1 || value > 65_535) throw new InvalidArgumentError('It must be like 192.0.2.7:9410.');
  return text;
}

const HOSTS_RULE = 'It must be a number of hosts from 1 to 65535, or names like api,cache.';

export function waitFor(text: string): WaitFor {
  if (/^\d+$/.test(text)) {
    const count = Number(text);
    if (count < 1 || count > 65_535) throw new InvalidArgumentError(HOSTS_RULE);
    return { count };
  }
  const names = [...new Set(text.toLowerCase().split(','))];
  if (!names.every((name) => HOST_NAME_PATTERN.test(name))) throw new InvalidArgumentError(HOSTS_RULE);
  return { names };
}

/** @returns milliseconds */
export function waitTime(text: string): number {
  const value = Number(text);
  if (!/^\d+(\.\d+)?$/.test(text) || value <= 0 || value > 86_400) {
    throw new InvalidArgumentError('It must be a number of seconds above 0, up to 86400.');
  }
  return value * 1_000;
}

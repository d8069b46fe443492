/** What entries of the manifest say of guests, wherever they run. */
import type { Duration } from 'aws-cdk-lib';
import type { Construct } from 'constructs';
import { HOST_LIMITS, type ManifestHost, READY_LIMITS } from '../../contract/manifest';
import type { Ready } from '../host/ready';
import * as check from './checks';

/** A command that runs beside the guest. */
export function ownCommand(
  scope: Construct,
  prop: 'livenessCommand' | 'onDrain' | 'onRelease',
  command: string[] | undefined,
): string[] | undefined {
  if (command === undefined) return undefined;
  check.checkCommand(scope, command, prop);
  return [...command];
}

export function readyRule(scope: Construct, readyWhen: Ready | undefined): ManifestHost['readyWhen'] {
  const rule = readyWhen?._rule ?? { kind: 'listening' };
  if (rule.kind === 'listening' || rule.kind === 'log') return rule;
  const time = (name: 'interval' | 'timeout') => {
    const limit = READY_LIMITS[name];
    const value = rule.options[name];
    return value === undefined ? limit.default : check.milliseconds(scope, `readyWhen's ${name}`, value, limit);
  };
  const looks = { interval: time('interval'), timeout: time('timeout') };
  if (rule.kind === 'command') return { kind: 'command', command: rule.command, ...looks };
  const { path, options } = rule;
  const { port } = options;
  if (port !== undefined) check.checkWhole(scope, "readyWhen's port", port, READY_LIMITS.port);
  return { kind: 'http', path, port, ...looks };
}

/** A duration of a host, in milliseconds. */
export function hostTime<N extends keyof typeof HOST_LIMITS>(
  scope: Construct,
  prop: N,
  value: Duration | undefined,
): number {
  const limit = HOST_LIMITS[prop];
  return value === undefined ? limit.default : check.milliseconds(scope, prop, value, limit);
}

export function checkWorkingDirectory(scope: Construct, path: string, like: string): void {
  check.requireKnown(scope, 'workingDirectory', path, 'give it as a literal string');
  if (path.startsWith('/')) return;
  check.refuse(scope, `workingDirectory is '${path}'; allowed: an absolute path, like '${like}'`);
}

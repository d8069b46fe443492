/** Finds out, before anything is booted, how sandboxes are started on this machine and what holds in them. */
import { readFileSync } from 'node:fs';
import type { Isolation } from '../../contract/platform/platform-info';
import type { Network } from '../network/network';
import { type CgroupBases, cgroupOptions, findCgroups } from './cgroup';
import { launch, type Mode } from './launcher';

export interface SandboxKind {
  readonly mode: Mode;
  readonly cgroups: CgroupBases;
  readonly isolation: Isolation;
}

/** Starts one sandbox with nothing in it, where the seed will be, and looks what it became. @throws LocalError */
export async function probe(
  cgroupPrefix: string,
  sandbox: 'auto' | 'none',
  tmp: string,
  network: Network,
  cpuShare = false,
): Promise<SandboxKind> {
  const none = sandbox === 'none';
  const cgroups = none ? { missing: ['no cgroups: the sandbox is switched off'] } : findCgroups(cgroupPrefix, cpuShare);
  const options = [...network.seeds[0].slot.options, ...cgroupOptions(cgroups, `${cgroupPrefix}probe`, 128)];
  const launched = launch(['--probe', '--mode', none ? 'bare' : 'auto', '--tmp', tmp, ...options], {});
  const { mode, isolation, missing } = await launched.started;
  await launched.exited;
  const { filesystem, uid, pids, devShm, memory } = isolation;
  const freeze = isolation.freeze === 'sigstop' ? 'sigstop' : 'cgroup';
  const usable = { ...cgroups, ...(freeze === 'sigstop' ? { freezer: undefined } : {}) };
  return {
    mode,
    cgroups: memory ? usable : { ...usable, memory: undefined, pids: undefined, cpu: undefined },
    isolation: {
      ...{ filesystem, uid, pids, devShm, freeze, memory },
      missing: [
        ...network.missing,
        ...consequences(mode, none),
        ...missing,
        ...cgroups.missing,
        // Namespaces of their own have Lambda's limit, whatever the machine's is.
        ...(network.info.kind === 'flat' ? lowPorts() : []),
      ],
    },
  };
}

function consequences(mode: Mode, none: boolean): string[] {
  if (mode !== 'bare') return [];
  const why = none ? 'the sandbox is switched off' : 'this machine allows no namespaces';
  return [
    `functions see the whole file system and all processes, under the user of the platform: ${why}`,
    '/var/task and /opt are other folders here: /var/task and /opt in commands and environments are translated',
  ];
}

function lowPorts(): string[] {
  try {
    const first = Number(readFileSync('/proc/sys/net/ipv4/ip_unprivileged_port_start', 'utf8'));
    if (first >= 1024) return [];
    return [`ports from ${first} are free for everybody on this machine; Lambda refuses those below 1024`];
  } catch {
    return [];
  }
}

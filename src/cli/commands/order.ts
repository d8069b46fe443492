import type { HostCommand } from '../../contract/control/to-seed';
import { ControlError, orderHost } from '../../runtime/control/index';
import type { CommonOptions } from '../options';
import { CliError } from '../output/errors';
import { outputTo } from '../output/output';
import { progressLine } from '../output/terminal';
import { access, clusterStatus, explain } from '../target/operator';
import { hostsOfService, runningCluster, withState } from '../target/state';

const DOING: Readonly<Record<HostCommand, string>> = {
  start: 'starting',
  wake: 'waking',
  release: 'releasing',
  stop: 'stopping',
};

/** Gives an order about one host, and waits until it is carried out. */
export async function order(command: HostCommand, host: string, options: CommonOptions): Promise<void> {
  const cluster = runningCluster(options.state);
  const { hosts } = await clusterStatus(cluster);
  if (!hosts.some(({ name }) => name === host)) {
    const known = hosts.map(({ name }) => name).join(', ');
    const instead = hostsOfService(cluster.manifest, host);
    if (instead) {
      const message = `'${host}' is a service of ${cluster.cluster}, and no host`;
      throw new CliError('no-such-host', message, { next: instead });
    }
    const next = withState('imaginary ps', cluster.stateDir);
    throw new CliError('no-such-host', `there is no host '${host}' in ${cluster.cluster}; it has ${known}`, { next });
  }
  const progress = progressLine();
  progress.step(`${DOING[command]} ${host}`);
  try {
    const { ok, reason, state } = await orderHost(access(cluster), host, command).catch((error) => {
      throw error instanceof ControlError ? explain(error, cluster) : error;
    });
    progress.done();
    const next = withState(`imaginary events --host ${host}`, cluster.stateDir);
    if (!ok) throw new CliError('not-done', `${host} is ${state}: ${reason}`, { next });
    outputTo(process.stdout, options.json === true).result({ host, state }, () => `${host} is ${state}`);
  } finally {
    progress.done();
  }
}

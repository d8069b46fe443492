/** Requests of the CLI to the seed of a running cluster, with errors that name the next step. */

import type { ClusterEdge } from '../../contract/control/edges';
import type { ClusterEvent, ClusterStatus } from '../../contract/control/from-seed';
import { OPERATOR_IDENTITY } from '../../contract/control/psk';
import { ControlError, fetchEdges, fetchStatus, readEvents, reloadKeys as reload } from '../../runtime/control/index';
import { CliError } from '../output/errors';
import { isRunning, type RunningCluster, secretFor, withState } from './state';

/** How long a seed may be away (the platform restarts one that died) before followers give up. */
const SEED_RETURNS_WITHIN = 10_000;
const RETRY_EVERY = 100;

export async function clusterStatus(cluster: RunningCluster): Promise<ClusterStatus> {
  try {
    return await fetchStatus(access(cluster));
  } catch (error) {
    throw explain(error, cluster);
  }
}

export async function clusterEdges(cluster: RunningCluster): Promise<readonly ClusterEdge[]> {
  try {
    return await fetchEdges(access(cluster));
  } catch (error) {
    throw explain(error, cluster);
  }
}

/** Has the seed read its keys again. @returns ids of those that are accepted now, the newest first */
export async function reloadKeys(cluster: RunningCluster, as: ReturnType<typeof access>): Promise<readonly string[]> {
  try {
    return await reload(as);
  } catch (error) {
    throw explain(error, cluster);
  }
}

/** The event log so far; with `follow` on and on, across restarts of the seed, until the cluster goes down. */
export async function* clusterEvents(cluster: RunningCluster, follow: boolean): AsyncGenerator<ClusterEvent> {
  let last = 0;
  /** Of the seed whose log it is: when it started. */
  let started: number | undefined;
  let failingSince: number | undefined;
  for (;;) {
    let seen = last;
    try {
      for await (const event of readEvents({ ...access(cluster), follow })) {
        failingSince = undefined;
        // The log of another seed, whose clock may have been set back since.
        if (event.event === 'seed-started' && event.time !== started) {
          started = event.time;
          seen = 0;
        }
        // After a reconnection the log comes again from its start.
        if (event.time <= seen) continue;
        last = event.time;
        yield event;
      }
      return;
    } catch (error) {
      if (!(error instanceof ControlError) || error.code !== 'unreachable' || !follow) throw explain(error, cluster);
      if (!isRunning(cluster)) return;
      failingSince ??= performance.now();
      if (performance.now() - failingSince > SEED_RETURNS_WITHIN) throw explain(error, cluster);
      await new Promise((resolve) => setTimeout(resolve, RETRY_EVERY));
    }
  }
}

/** Made with the key that is the newest now. */
export function access(cluster: RunningCluster) {
  const { seed, standby, network } = cluster;
  const nat = network.kind === 'nat' ? network : undefined;
  return {
    seed,
    path: nat?.operators,
    standby: standby === undefined ? undefined : { seed: standby, path: nat?.standbyOperators },
    identity: OPERATOR_IDENTITY,
    secret: secretFor(cluster, OPERATOR_IDENTITY),
  };
}

export function explain(error: unknown, cluster: RunningCluster): unknown {
  if (!(error instanceof ControlError)) return error;
  const next =
    error.code === 'rejected'
      ? `Its key is in ${cluster.keyFile}; if that file was changed: ${withState('imaginary down', cluster.stateDir)} && ${withState('imaginary up', cluster.stateDir)}`
      : withState('imaginary logs seed', cluster.stateDir);
  return new CliError(`seed-${error.code}`, error.message, { next, cause: error });
}

import { addKey, keepNewestKey } from '../../local';
import type { CommonOptions } from '../options';
import { outputTo } from '../output/output';
import { progressLine } from '../output/terminal';
import { access, reloadKeys } from '../target/operator';
import { runningCluster } from '../target/state';

interface RotateOptions extends CommonOptions {
  /** Seconds. */
  readonly overlap: number;
}

/** Gives the cluster a new key: both are accepted for a while, then the new one only. */
export async function rotate(options: RotateOptions): Promise<void> {
  const cluster = runningCluster(options.state);
  const progress = progressLine();
  // The seed does not know the new key before it has read it.
  const before = access(cluster);
  addKey(cluster.keyFile);
  try {
    await reloadKeys(cluster, before);
    progress.step(`both keys are accepted for ${options.overlap} s`);
    await new Promise((resolve) => setTimeout(resolve, options.overlap * 1_000));
    keepNewestKey(cluster.keyFile);
    const [key] = await reloadKeys(cluster, access(cluster));
    const result = { cluster: cluster.cluster, key, keyFile: cluster.keyFile };
    progress.done();
    outputTo(process.stdout, options.json === true).result(result, () => `${cluster.cluster} has a new key, ${key}`);
  } finally {
    progress.done();
  }
}

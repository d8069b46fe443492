/**
 * A platform whose functions are all cold: hosts of a cluster, and as many bare functions (a handler that only says
 * when it was entered) as the baseline for what a sandbox costs by itself.
 */
import { chmodSync, copyFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { InvokeCommand, LambdaClient } from '@aws-sdk/client-lambda';
import type { ManifestHost } from '../../src/contract/manifest';
import { type LocalFunction, type Platform, readManifest, startPlatform } from '../../src/local';
import { prepareCluster, type TestCluster } from '../../test/support/cluster';

const BARE_HANDLER = `exports.handler = async () => ({ entered: performance.timeOrigin + performance.now(), pid: process.pid });\n`;

export interface ColdPlatform {
  readonly cluster: TestCluster;
  readonly platform: Platform;
  /** Invokes the bare function `i`: the first time it starts, later it thaws. Milliseconds from the call to its handler's entry. */
  bareStart(i: number): Promise<number>;
  dispose(): Promise<void>;
}

/**
 * Hosts `host-0 … host-(count-1)` run `guest`, a program that is copied to their code folder.
 * @param props of each host besides
 */
export async function bootCold(
  count: number,
  guest: string,
  guestArguments: readonly string[],
  props: Partial<ManifestHost> = {},
): Promise<ColdPlatform> {
  const hosts = Array.from({ length: count }, (_, i) => ({
    name: `host-${i}`,
    command: ['/var/task/guest', ...guestArguments],
    address: `100.64.9.${i + 1}`,
    ...props,
  }));
  const cluster = prepareCluster(hosts, { name: 'bench', files: { 'bare.js': BARE_HANDLER } });
  copyFileSync(guest, join(cluster.folder, 'guest'));
  chmodSync(join(cluster.folder, 'guest'), 0o755);
  writeFileSync(join(cluster.folder, 'README'), 'Code folder of a benchmark; removed when it ends.\n');
  const application = readManifest(join(cluster.folder, 'manifest.json'));
  const bare = Array.from(
    { length: count },
    (_, i): LocalFunction => ({ ...application.functions[0], name: `bare-${i}`, handler: 'bare.handler', layers: [] }),
  );
  const platform = await startPlatform({
    application: { ...application, functions: [...application.functions, ...bare] },
    stateDir: cluster.state,
  });
  const { url, region, accessKeyId, secretAccessKey } = platform.info.lambda;
  const lambda = new LambdaClient({ endpoint: url, region, credentials: { accessKeyId, secretAccessKey } });
  return {
    cluster,
    platform,
    bareStart: async (i) => {
      const called = performance.timeOrigin + performance.now();
      const answer = await lambda.send(new InvokeCommand({ FunctionName: `bare-${i}` }));
      if (answer.FunctionError) throw new Error(`bare function: ${answer.Payload?.transformToString()}`);
      return JSON.parse(answer.Payload!.transformToString()).entered - called;
    },
    dispose: async () => {
      lambda.destroy();
      await platform.stop();
      await cluster.dispose();
    },
  };
}

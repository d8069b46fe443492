/**
 * A platform whose functions are all cold: hosts of a cluster, and as many bare functions as the baseline for what a
 * sandbox and a guest cost by themselves. To the platform both are alike: a bare function is a host's, too, so that the
 * network has made a slot ahead for both or for neither.
 */
import { chmodSync, copyFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { InvokeCommand, LambdaClient } from '@aws-sdk/client-lambda';
import type { ManifestHost } from '../../src/contract/manifest';
import { type LocalFunction, type NetworkChoice, type Platform, readManifest, startPlatform } from '../../src/local';
import { prepareCluster, type TestCluster } from '../../test/support/cluster';

/** Says when it was entered; or how long a program takes from being started to its first output. */
const BARE_HANDLER = `const { join } = require('node:path');
exports.handler = async ({ guest }) => {
  const entered = performance.timeOrigin + performance.now();
  if (!guest) return { entered };
  const { spawn } = require('node:child_process');
  const begun = performance.now();
  const child = spawn(join(process.env.LAMBDA_TASK_ROOT, 'guest'), guest, { stdio: ['ignore', 'pipe', 'inherit'] });
  await new Promise((done, fail) => {
    child.once('error', fail).once('exit', (code) => fail(new Error('the guest has exited with ' + code)));
    child.stdout.once('data', done);
  });
  const took = performance.now() - begun;
  child.kill('SIGKILL');
  await new Promise((done) => child.once('exit', done));
  return { took };
};
`;

export interface ColdPlatform {
  readonly cluster: TestCluster;
  readonly platform: Platform;
  /** Invokes the bare function `i`: the first time it starts, later it thaws. Milliseconds from the call to its handler's entry. */
  bareStart(i: number): Promise<number>;
  /**
   * Starts the guest in the bare function `i`, natively. Milliseconds from its start to its first output. What its
   * handler loads for that is not counted: a first guest is started before.
   */
  bareGuest(i: number, guestArguments: readonly string[]): Promise<number>;
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
  network: NetworkChoice = 'auto',
): Promise<ColdPlatform> {
  const command = ['/var/task/guest', ...guestArguments];
  const hosts = Array.from({ length: count }, (_, i) => [
    { name: `host-${i}`, command, address: `100.64.9.${i + 1}`, ...props },
    { name: `bare-${i}`, command, address: `100.64.10.${i + 1}` },
  ]).flat();
  const cluster = prepareCluster(hosts, { name: 'bench', files: { 'bare.js': BARE_HANDLER } });
  copyFileSync(guest, join(cluster.folder, 'guest'));
  chmodSync(join(cluster.folder, 'guest'), 0o755);
  writeFileSync(join(cluster.folder, 'README'), 'Code folder of a benchmark; removed when it ends.\n');
  const application = readManifest(join(cluster.folder, 'manifest.json'));
  const functions = application.functions.map(
    (fn): LocalFunction => (fn.name.startsWith('bench-bare-') ? { ...fn, handler: 'bare.handler', layers: [] } : fn),
  );
  const platform = await startPlatform({
    application: { ...application, functions },
    network,
    stateDir: cluster.state,
  });
  const { url, region, accessKeyId, secretAccessKey } = platform.info.lambda;
  const lambda = new LambdaClient({ endpoint: url, region, credentials: { accessKeyId, secretAccessKey } });
  const invoke = async (i: number, event: object) => {
    const Payload = JSON.stringify(event);
    const answer = await lambda.send(new InvokeCommand({ FunctionName: `bench-bare-${i}`, Payload }));
    const text = answer.Payload!.transformToString();
    if (answer.FunctionError) throw new Error(`bare function: ${text}`);
    return JSON.parse(text);
  };
  return {
    cluster,
    platform,
    bareStart: async (i) => {
      const called = performance.timeOrigin + performance.now();
      return (await invoke(i, {})).entered - called;
    },
    bareGuest: async (i, guest) => {
      await invoke(i, { guest });
      return (await invoke(i, { guest })).took;
    },
    dispose: async () => {
      lambda.destroy();
      await platform.stop();
      await cluster.dispose();
    },
  };
}

/** A real platform with small functions and no hosts, called through the real SDK. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { InvokeCommand, type InvokeCommandInput, LambdaClient } from '@aws-sdk/client-lambda';
import { parseManifest } from '../../src/contract/manifest';
import { type LocalFunction, type Platform, type PlatformOptions, startPlatform } from '../../src/local';

export const FUNCTIONS = resolve(__dirname, '../support/fixtures/functions');

export function plain(options: Partial<LocalFunction> = {}): LocalFunction {
  return {
    name: 'plain',
    code: FUNCTIONS,
    layers: [],
    handler: 'plain.handler',
    environment: {},
    memorySize: 256,
    timeout: 10_000,
    reservedConcurrency: 1,
    ...options,
  };
}

export const emptyManifest = (port = 9410) =>
  parseManifest({ version: 1, cluster: { name: 'unit' }, seed: { port }, hosts: [] });

export interface Booted {
  readonly platform: Platform;
  readonly stateDir: string;
  readonly lambda: LambdaClient;
  /** What the function returned. Fails when it failed. */
  call(event: object, name?: string): Promise<any>;
  /** The error that the function ended with. */
  error(event: object, name?: string): Promise<{ errorType: string; errorMessage: string }>;
  invoke(event: object, input?: Partial<InvokeCommandInput>): ReturnType<LambdaClient['send']>;
  dispose(): Promise<void>;
}

export async function bootFunctions(
  functions: readonly LocalFunction[],
  options: Partial<PlatformOptions> = {},
): Promise<Booted> {
  const stateDir = mkdtempSync(join(tmpdir(), 'imaginary-unit-'));
  const application = { source: 'test', manifest: emptyManifest(), functions };
  const platform = await startPlatform({ application, stateDir, network: 'flat', ...options });
  const lambda = client(platform.info.lambda);
  const invoke = (event: object, input: Partial<InvokeCommandInput> = {}) =>
    lambda.send(new InvokeCommand({ FunctionName: 'plain', Payload: JSON.stringify(event), ...input }));
  const answer = async (event: object, name?: string) => {
    const { FunctionError, Payload } = await invoke(event, name ? { FunctionName: name } : {});
    return { FunctionError, value: JSON.parse(Payload!.transformToString()) };
  };
  return {
    platform,
    stateDir,
    lambda,
    invoke: invoke as Booted['invoke'],
    call: async (event, name) => {
      const { FunctionError, value } = await answer(event, name);
      if (FunctionError) throw new Error(JSON.stringify(value));
      return value;
    },
    error: async (event, name) => {
      const { FunctionError, value } = await answer(event, name);
      if (!FunctionError) throw new Error(`it did not fail: ${JSON.stringify(value)}`);
      return value;
    },
    dispose: async () => {
      lambda.destroy();
      await platform.stop();
      rmSync(stateDir, { recursive: true, force: true });
    },
  };
}

/** Network `flat`: the platform's number. */
export function flatNumber({ info }: Pick<Platform, 'info'>): number {
  if (info.network.kind !== 'flat') throw new Error(`the network is ${info.network.kind}`);
  return info.network.number;
}

export function client({ url, region, accessKeyId, secretAccessKey }: Platform['info']['lambda']): LambdaClient {
  return new LambdaClient({ endpoint: url, region, credentials: { accessKeyId, secretAccessKey }, maxAttempts: 1 });
}

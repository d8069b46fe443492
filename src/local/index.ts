/**
 * The local platform, as `cli` and tests use it:
 *
 *     const application = readAssembly('cdk.out');        // or readManifest('manifest.json')
 *     const platform = await startPlatform({ application, stateDir: '.imaginary' });
 *     await platform.stop();
 *
 * Other processes find a running one by `readPlatform(stateDir)`. Synthesis of a CDK app is the caller's.
 */
export { readAssembly, readManifest } from './assembly';
export { LocalError } from './errors';
export { cleanLeftovers } from './leftovers';
export { startPlatform } from './platform';
export { isPlatformRunning, readPlatform } from './platform-file';
export type {
  Isolation,
  LambdaEndpoint,
  LocalApplication,
  LocalFunction,
  Platform,
  PlatformInfo,
  PlatformOptions,
} from './types';

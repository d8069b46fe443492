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
export { addKey, keepNewestKey } from './key-file';
export { cleanLeftovers, makeClientFolder } from './leftovers';
export { DEFAULT_NETWORK, type NetworkChoice } from './network';
export { commandAsClient, commandInside, faultsOf, type Lent, takePlace } from './network/control-socket';
export type { Faults } from './network/faults';
export type { Whereabouts } from './network/internet';
export type { FlatInfo, NatInfo, NetworkInfo } from './network/network';
export { shortTmp } from './paths';
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

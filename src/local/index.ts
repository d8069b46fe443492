/**
 * The local platform, as `cli` and tests use it:
 *
 *     const application = readAssembly('cdk.out');        // or readManifest('manifest.json')
 *     const platform = await startPlatform({ application, stateDir: '.imaginary' });
 *     await platform.stop();
 *
 * Other processes find a running one by `readPlatform(stateDir)`. Synthesis of a CDK app is the caller's.
 */

export type { ExposedHost, NatInfo, NetworkInfo, PlatformInfo } from '../contract/platform/platform-info';
export { LocalError } from './errors';
export { readAssembly, readManifest } from './import/assembly';
export { DEFAULT_NETWORK } from './network';
export { commandAsClient, commandInside, faultsOf, type LentSlot, takeSlot } from './network/control-socket';
export type { Faults } from './network/faults';
export type { SlotInfo } from './network/slot';
export { forwardFile, shortTmp } from './paths';
export { addKey, keepNewestKey } from './platform/key-file';
export { startPlatform } from './platform/platform';
export { isPlatformRunning, readPlatform } from './platform/platform-file';
export { cgroupPrefix } from './sandbox/cgroup';
export { cleanLeftovers, makeClientFolder } from './sandbox/leftovers';
export type {
  LocalApplication,
  LocalFunction,
  NetworkChoice,
  Platform,
  PlatformFlags,
  PlatformOptions,
} from './types';

/**
 * What the supervisor's bundle has in place of some modules of Node.js (`scripts/bundle-outputs.ts`): the functions that
 * are used of them. The first call loads the module, so that a cold start does not. By its name without `node:`, which
 * means this file there.
 */
import type { spawn as Spawn } from 'node:child_process';
import type { createSocket as CreateSocket } from 'node:dgram';
import type { deflateRawSync as DeflateRawSync, inflateRawSync as InflateRawSync } from 'node:zlib';

// biome-ignore-start lint/style/useNodejsImportProtocol: the other name is this file's
const childProcess = () => require('child_process') as { readonly spawn: typeof Spawn };
const dgram = () => require('dgram') as { readonly createSocket: typeof CreateSocket };
const zlib = () =>
  require('zlib') as { readonly deflateRawSync: typeof DeflateRawSync; readonly inflateRawSync: typeof InflateRawSync };
// biome-ignore-end lint/style/useNodejsImportProtocol: the other name is this file's

export const spawn = ((...given: Parameters<typeof Spawn>) => childProcess().spawn(...given)) as typeof Spawn;
export const createSocket = ((...given: Parameters<typeof CreateSocket>) =>
  dgram().createSocket(...given)) as typeof CreateSocket;
export const deflateRawSync: typeof DeflateRawSync = (...given) => zlib().deflateRawSync(...given);
export const inflateRawSync: typeof InflateRawSync = (...given) => zlib().inflateRawSync(...given);

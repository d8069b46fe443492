import { spawnSync } from 'node:child_process';

const AS_ROOT = process.getuid!() === 0 ? [] : ['--user', '--map-root-user'];

/** Whether this machine allows what network `nat` is made of. Other programs find it out: an error of ours is no reason to skip. */
export const hasNetworkNamespaces = spawnSync('unshare', [...AS_ROOT, '--net', 'nft', 'list', 'ruleset']).status === 0;

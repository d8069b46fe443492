import { hkdfSync } from 'node:crypto';

/**
 * Who a connection of the control network belongs to, as its TLS pre-shared-key identity says.
 * `host`: the supervisor of one epoch of one host. `client`: a supervisor outside of any host function (it joins as a
 * client, under the name of a host, or as a host instance). `operator`: reads status and events.
 */
export type Identity = (
  | { readonly kind: 'host'; readonly host: string; readonly epoch: number }
  | { readonly kind: 'client' }
  | { readonly kind: 'operator' }
) & {
  /** Which cluster key its secret is made from (`keyId`). Absent: the newest. */
  readonly key?: string;
};

export const CLIENT_IDENTITY = 'client';
export const OPERATOR_IDENTITY = 'operator';

export function hostIdentity(host: string, epoch: number): string {
  return `host/${host}/${epoch}`;
}

/** The identity that a peer claims; undefined when it is none of ours. */
export function parseIdentity(text: string): Identity | undefined {
  const parts = /^(?:(client|operator)|host\/([a-z0-9-]{1,63})\/([1-9]\d{0,15}))(?:@([0-9a-f]{8}))?$/.exec(text);
  if (!parts) return undefined;
  const [, kind, host, epoch, id] = parts;
  const key = id === undefined ? {} : { key: id };
  if (kind !== undefined) return { kind: kind as 'client' | 'operator', ...key };
  return Number.isSafeInteger(Number(epoch)) ? { kind: 'host', host, epoch: Number(epoch), ...key } : undefined;
}

/** An identity as its connection claims it, with the key that its secret is made from. */
export function claimOf(identity: string, key: string | undefined): string {
  return key === undefined ? identity : `${identity}@${key}`;
}

/** A key that is too short to be one. */
export class ClusterKeyError extends Error {
  constructor(readonly length: number) {
    super(`the cluster key has ${length} characters; allowed: 16 or more (a random string)`);
    this.name = 'ClusterKeyError';
  }
}

/**
 * The cluster keys as kept in a file or a secret: one a line, the newest first, and normally one. White space around
 * them and empty lines do not count. All of them are accepted; secrets are made from the newest. @throws
 * ClusterKeyError
 */
export function parseClusterKeys(text: string): Buffer[] {
  const keys = text
    .split('\n')
    .map((line) => line.trim())
    .filter(Boolean);
  if (keys.length === 0) throw new ClusterKeyError(0);
  return keys.map((key) => {
    if (key.length < 16) throw new ClusterKeyError(key.length);
    return Buffer.from(key, 'utf8');
  });
}

/** Names a cluster key, and tells nothing about it. */
export function keyId(clusterKey: Uint8Array): string {
  return Buffer.from(hkdfSync('sha256', clusterKey, 'imaginary-machines', 'key-id', 4)).toString('hex');
}

/**
 * The pre-shared key of one identity. One way: whoever holds a host's key learns neither the cluster key nor the key of
 * another host or epoch.
 */
export function deriveSecret(clusterKey: Uint8Array, cluster: string, identity: string): Buffer {
  return Buffer.from(hkdfSync('sha256', clusterKey, 'imaginary-machines', `${cluster}/${identity}`, 32));
}

/** A secret as it is handed over: which cluster key it is made from, and the pre-shared key itself, in base64. */
export function joinSecret(clusterKey: Uint8Array, cluster: string, identity: string): string {
  return secretOf(keyId(clusterKey), deriveSecret(clusterKey, cluster, identity));
}

/** The same, of what is known already. */
export function secretOf(id: string, psk: Buffer): string {
  return `${id}.${psk.toString('base64')}`;
}

export function parseSecret(text: string): { readonly key: string | undefined; readonly psk: Buffer } {
  const dot = text.indexOf('.');
  return { key: dot < 0 ? undefined : text.slice(0, dot), psk: Buffer.from(text.slice(dot + 1), 'base64') };
}

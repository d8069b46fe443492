import { hkdfSync } from 'node:crypto';

/**
 * Who a connection of the control network belongs to, as its TLS pre-shared-key identity says.
 * `host`: the supervisor of one incarnation of one host. `client`: a supervisor outside of any host function (it joins as a
 * client, as a visitor of a host, or as a host instance). `operator`: reads status and events.
 */
export type Identity =
  | { readonly kind: 'host'; readonly host: string; readonly epoch: number }
  | { readonly kind: 'client' }
  | { readonly kind: 'operator' };

export const CLIENT_IDENTITY = 'client';
export const OPERATOR_IDENTITY = 'operator';

export function hostIdentity(host: string, epoch: number): string {
  return `host/${host}/${epoch}`;
}

/** The identity that a peer claims; undefined when it is none of ours. */
export function parseIdentity(text: string): Identity | undefined {
  if (text === CLIENT_IDENTITY || text === OPERATOR_IDENTITY) return { kind: text };
  const match = /^host\/([a-z0-9-]{1,63})\/([1-9]\d{0,15})$/.exec(text);
  if (!match) return undefined;
  const epoch = Number(match[2]);
  return Number.isSafeInteger(epoch) ? { kind: 'host', host: match[1], epoch } : undefined;
}

/** A key that is too short to be one. */
export class ClusterKeyError extends Error {
  constructor(readonly length: number) {
    super(`the cluster key has ${length} characters; allowed: 16 or more (a random string)`);
    this.name = 'ClusterKeyError';
  }
}

/** The cluster key as kept in a file or a secret: text; white space around it does not count. */
export function parseClusterKey(text: string): Buffer {
  const key = text.trim();
  if (key.length < 16) throw new ClusterKeyError(key.length);
  return Buffer.from(key, 'utf8');
}

/**
 * The pre-shared key of one identity. One way: whoever holds a host's key learns neither the cluster key nor the key of
 * another host or epoch.
 */
export function deriveSecret(clusterKey: Uint8Array, cluster: string, identity: string): Buffer {
  return Buffer.from(hkdfSync('sha256', clusterKey, 'imaginary-machines', `${cluster}/${identity}`, 32));
}

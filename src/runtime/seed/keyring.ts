import type { FromSeed } from '../../contract/control/from-seed';
import { deriveSecret, hostIdentity, type Identity, keyId, secretOf } from '../../contract/control/psk';
import type { Channel } from '../control/channel';
import type { PeerHandlers } from '../control/server';

/**
 * The cluster's keys: the newest, from which secrets are made, and older ones that are still accepted while a rotation
 * is under way. Connections are remembered with the key that they were proved with.
 */
export class Keyring {
  readonly #cluster: string;
  readonly #proved = new Map<Channel<FromSeed>, { readonly identity: Identity; readonly key: string }>();
  #keys = new Map<string, Uint8Array>();
  #newest = '';

  /** @param keys the newest first */
  constructor(cluster: string, keys: readonly Uint8Array[]) {
    this.#cluster = cluster;
    this.#set(keys);
  }

  /** Of the keys that are accepted, the newest first. */
  get ids(): readonly string[] {
    return [...this.#keys.keys()];
  }

  /** A host's secret, made from the newest key. */
  issue(host: string, epoch: number): string {
    const psk = deriveSecret(this.#keys.get(this.#newest)!, this.#cluster, hostIdentity(host, epoch));
    return secretOf(this.#newest, psk);
  }

  /** The pre-shared key that an identity has to know; undefined: it names a key that is not accepted. */
  expect(identity: Identity): Buffer | undefined {
    const key = this.#keys.get(identity.key ?? this.#newest);
    const name = identity.kind === 'host' ? hostIdentity(identity.host, identity.epoch) : identity.kind;
    return key && deriveSecret(key, this.#cluster, name);
  }

  /** A connection that was proved. */
  watch(identity: Identity, channel: Channel<FromSeed>, handlers: PeerHandlers): PeerHandlers {
    const key = identity.key ?? this.#newest;
    this.#proved.set(channel, { identity, key });
    if (key !== this.#newest) this.#renew(identity, channel);
    return {
      onFrame: handlers.onFrame,
      onBytes: handlers.onBytes,
      onClose: (end) => {
        this.#proved.delete(channel);
        handlers.onClose(end);
      },
    };
  }

  /**
   * Other keys, the newest first. A connected host whose key is accepted still is given a secret made from the newest.
   * A connection that was proved with a key that is gone is closed: a member that has a newer secret by then is back at
   * once, others are not let in.
   */
  replace(keys: readonly Uint8Array[]): void {
    const before = this.#newest;
    this.#set(keys);
    for (const [channel, { identity, key }] of this.#proved) {
      const renewable = key !== this.#newest && this.#newest !== before;
      // Over a parked one nothing can be sent: its host has a new secret with its next invocation.
      if (!this.#keys.has(key) || (renewable && channel.resting)) void channel.end();
      else if (renewable) this.#renew(identity, channel);
    }
  }

  #renew(identity: Identity, channel: Channel<FromSeed>): void {
    // Others have the cluster key itself. Given to them, a secret would let in members that a rotation should keep out.
    if (identity.kind !== 'host') return;
    channel.send({ type: 'secret', secret: this.issue(identity.host, identity.epoch) });
  }

  #set(keys: readonly Uint8Array[]): void {
    this.#keys = new Map(keys.map((key) => [keyId(key), key]));
    this.#newest = keyId(keys[0]);
  }
}

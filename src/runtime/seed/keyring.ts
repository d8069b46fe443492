import type { FromSeed } from '../../contract/control/from-seed';
import { deriveSecret, hostIdentity, type Identity, joinSecret, keyId } from '../../contract/control/psk';
import type { Channel } from '../control/channel';
import type { PeerHandlers } from '../control/server';

/**
 * The cluster's keys: the newest, from which secrets are made, and older ones that are still accepted while a rotation is under
 * way. Connections are remembered with the key that they were proved with.
 */
export interface Keyring {
  /** Of the keys that are accepted, the newest first. */
  readonly ids: readonly string[];
  /** A host's secret, made from the newest key. */
  issue(host: string, epoch: number): string;
  /** The pre-shared key that an identity has to know; undefined: it names a key that is not accepted. */
  expect(identity: Identity): Buffer | undefined;
  /** A connection that was proved. */
  watch(identity: Identity, channel: Channel<FromSeed>, handlers: PeerHandlers): PeerHandlers;
  /**
   * Other keys, the newest first. A connected host whose key is accepted still is given a secret made from the newest. A connection
   * that was proved with a key that is gone is closed: who has a newer secret by then is back at once, others are not let in.
   */
  replace(keys: readonly Uint8Array[]): void;
}

export function keyring(cluster: string, first: readonly Uint8Array[]): Keyring {
  let keys = new Map<string, Uint8Array>();
  let newest = '';
  const proved = new Map<Channel<FromSeed>, { readonly identity: Identity; readonly key: string }>();

  const issue = (host: string, epoch: number) => joinSecret(keys.get(newest)!, cluster, hostIdentity(host, epoch));
  const renew = (identity: Identity, channel: Channel<FromSeed>) => {
    // Others have the cluster key itself. Given to them, a secret would let in who should be kept out by a rotation.
    if (identity.kind !== 'host') return;
    channel.send({ type: 'secret', secret: issue(identity.host, identity.epoch) });
  };
  const set = (given: readonly Uint8Array[]) => {
    keys = new Map(given.map((key) => [keyId(key), key]));
    newest = keyId(given[0]);
  };
  set(first);

  return {
    get ids() {
      return [...keys.keys()];
    },
    issue,
    expect: (identity) => {
      const key = keys.get(identity.key ?? newest);
      const name = identity.kind === 'host' ? hostIdentity(identity.host, identity.epoch) : identity.kind;
      return key && deriveSecret(key, cluster, name);
    },
    watch: (identity, channel, handlers) => {
      const key = identity.key ?? newest;
      proved.set(channel, { identity, key });
      if (key !== newest) renew(identity, channel);
      return {
        onFrame: handlers.onFrame,
        onClose: (end) => {
          proved.delete(channel);
          handlers.onClose(end);
        },
      };
    },
    replace: (given) => {
      const before = newest;
      set(given);
      for (const [channel, { identity, key }] of proved) {
        if (!keys.has(key)) void channel.end();
        else if (key !== newest && newest !== before) renew(identity, channel);
      }
    },
  };
}

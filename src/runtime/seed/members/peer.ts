import type { FromSeed } from '../../../contract/control/from-seed';
import type { Sender } from '../../../contract/peer/peer-messages';
import type { Channel } from '../../control/channel';
import type { Machine } from '../machine/interpreter';
import type { Inbox } from './inbox';

/** The other side of one control connection that has joined. */
export interface Peer {
  /** Its name in events: a host's name or `client-N`; a client under a host's name is `NAME (client)`. */
  readonly name: string;
  readonly channel: Channel<FromSeed>;
  /** What other members send to it. */
  readonly inbox: Inbox;
  /** What other members are sent of it. `sender.member` is its number. */
  sender: Sender;
  /** Its ports to punch from: first and count. */
  readonly ports: readonly [number, number];
  /** Open locates of this peer: the host's name, by the locate's id. */
  readonly locates: Map<number, string>;
  /** Hosts whose machines may know the member. */
  readonly known: Set<Machine>;
}

import type { SessionOptions } from '../../control/index';
import type { Member } from './member';

/** Handlers of a session for what other members send. */
export function peerMessageHandlers(
  member: () => Member | undefined,
): Pick<
  SessionOptions,
  'onExpected' | 'onPeerMessage' | 'onUndeliverable' | 'onRelayed' | 'onClientGone' | 'onService' | 'onOutside'
> {
  return {
    onOutside: (bytes) => member()?.outside.deliver(bytes),
    onExpected: (host, epoch) => member()?.expects(host, epoch),
    onService: (service) => member()?.services.publish(service),
    onClientGone: (client) => member()?.partners.clientGone(client),
    onPeerMessage: (from, message) => {
      member()?.meets(from);
      if (!member()?.partners.surveys(from, message)) member()?.transports.peerMessage(from, message);
    },
    onUndeliverable: (_to, id, reason) => id !== undefined && member()?.transports.undeliverable(id, reason),
    onRelayed: (from, token, message) => {
      // A client from outside is no member, and nothing of it is to be heard.
      if (message.type !== 'relay' || message.purpose.for !== 'ingress') member()?.meets(from);
      member()?.transports.relayed(from, token, message);
    },
  };
}

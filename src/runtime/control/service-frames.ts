/** What a member sends of services. Without a connection nothing is sent. */
import type { ToSeed } from '../../contract/control/to-seed';
import type { FrameOf } from './session-options';

type Content<Type extends ToSeed['type']> = Omit<FrameOf<ToSeed, Type>, 'type'>;

export interface ServiceFrames {
  /** What becomes of the service's hosts is sent from now on: to be sent after each join. */
  use(service: string): void;
  /** What a host of a service has to do now. */
  load(load: Content<'load'>): void;
  /** The host that a guest's connect was led to. */
  chosen(choice: Content<'chosen'>): void;
}

export function serviceFrames(send: (frame: ToSeed) => void): ServiceFrames {
  return {
    use: (service) => send({ type: 'useService', service }),
    load: (load) => send({ type: 'load', ...load }),
    chosen: (choice) => send({ type: 'chosen', ...choice }),
  };
}

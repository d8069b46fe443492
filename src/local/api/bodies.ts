/**
 * How much the Invoke API holds for its callers: requests, and bytes of their bodies, for each connection and in all.
 */
import type { IncomingMessage } from 'node:http';
import type { Socket } from 'node:net';

export interface Bounds {
  /** Of one connection. Clients send one after the other. */
  readonly requestsOfConnection: number;
  readonly requests: number;
  /** Of bodies of requests that have no answer yet, and of events that wait. */
  readonly bytes: number;
}

export const BOUNDS: Bounds = { requestsOfConnection: 4, requests: 4_000, bytes: 256 * 1024 * 1024 };

/** There is no room for it now. */
export class NoRoomError extends Error {
  readonly code = 'NO_ROOM';
}

/** A request that there was room for. */
export interface Held {
  /**
   * The whole body; undefined when it is larger than that (it is read to its end, so that the answer is seen). @throws
   * NoRoomError
   */
  read(limit: number): Promise<Buffer | undefined>;
  /** The bytes stay when the request is answered. @returns gives them back */
  keep(): () => void;
  /** When the request is answered. */
  release(): void;
}

export function holdBodies({ requestsOfConnection, requests, bytes }: Bounds = BOUNDS) {
  const ofConnection = new Map<Socket, number>();
  let count = 0;
  let held = 0;

  const take = (more: number) => {
    if (held + more > bytes) throw new NoRoomError(`bodies of more than ${bytes} bytes`);
    held += more;
  };

  /** @throws NoRoomError */
  const admit = (request: IncomingMessage): Held => {
    const { socket } = request;
    const own = ofConnection.get(socket) ?? 0;
    if (own >= requestsOfConnection)
      throw new NoRoomError(`more than ${requestsOfConnection} requests of one connection`);
    if (count >= requests) throw new NoRoomError(`more than ${requests} requests`);
    ofConnection.set(socket, own + 1);
    count++;
    let mine = 0;
    let kept = false;
    const free = () => {
      held -= mine;
      mine = 0;
    };
    return {
      read: async (limit) => {
        const chunks: Buffer[] = [];
        let size = 0;
        // A client that is refused in the middle of it still gets an answer.
        for await (const chunk of request.iterator({ destroyOnReturn: false }) as AsyncIterable<Buffer>) {
          size += chunk.length;
          if (size > limit) {
            chunks.length = 0;
            free();
            continue;
          }
          take(chunk.length);
          mine += chunk.length;
          chunks.push(chunk);
        }
        return size > limit ? undefined : Buffer.concat(chunks);
      },
      keep: () => {
        kept = true;
        return free;
      },
      release: () => {
        count--;
        const left = (ofConnection.get(socket) ?? 1) - 1;
        if (left > 0) ofConnection.set(socket, left);
        else ofConnection.delete(socket);
        if (!kept) free();
      },
    };
  };
  return { admit };
}

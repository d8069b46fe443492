/** The HTTP server of an AWS API: on this machine, and in each slot that is to reach it. */
import { createServer, type RequestListener } from 'node:http';
import { type AddressInfo, createServer as createListener, type Server } from 'node:net';
import type { Slot } from '../network/slot';

export interface ApiServer {
  readonly url: string;
  /** Serves that slot too. @returns the URL in it */
  listenIn(slot: Slot): Promise<string>;
  close(): Promise<void>;
}

export interface ApiServerOptions {
  /** Milliseconds that a request may take to arrive. What it then waits for may take longer. */
  readonly arrival: number;
  readonly connections: number;
  /** Of slots that have ports of their own. Undefined: the slot's choice. */
  readonly port?: number;
}

export async function startApiServer(
  { arrival, connections, port }: ApiServerOptions,
  onRequest: RequestListener,
): Promise<ApiServer> {
  const limits = { requestTimeout: arrival, headersTimeout: arrival, connectionsCheckingInterval: arrival / 4 };
  const server = createServer({ ...limits, keepAliveTimeout: 60_000 }, onRequest);
  server.maxConnections = connections;
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    server.listen(0, '127.0.0.1', resolve);
  });
  const others: Server[] = [];
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    listenIn: async (slot) => {
      const other = createListener((socket) => server.emit('connection', socket));
      others.push(other);
      return `http://${await slot.listen(other, port)}`;
    },
    close: () => {
      for (const other of others) other.close();
      return new Promise((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      });
    },
  };
}

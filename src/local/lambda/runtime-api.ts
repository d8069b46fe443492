/**
 * The Runtime API (2018-06-01) of one sandbox: what its runtime client requests and reports. No policy; see
 * `sandbox.ts`.
 */
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import { createServer as createListener, type Socket } from 'node:net';
import type { Slot } from '../network/slot';
import { functionArn, LIMITS } from './lambda-limits';

export interface Delivery {
  readonly requestId: string;
  readonly functionName: string;
  readonly payload: Buffer;
  /** Unix time, milliseconds. */
  readonly deadline: number;
  readonly traceId?: string;
  /** JSON. */
  readonly clientContext?: string;
  /** Of a function with tenant isolation. */
  readonly tenantId?: string;
}

/** What the runtime client did. */
export type RuntimeEvent =
  /** It waits for an invocation. */
  | { readonly type: 'next' }
  | { readonly type: 'response'; readonly requestId: string; readonly body: Buffer }
  | { readonly type: 'too-large'; readonly requestId: string }
  | { readonly type: 'error'; readonly requestId: string; readonly body: Buffer; readonly errorType?: string }
  | { readonly type: 'init-error'; readonly body: Buffer; readonly errorType?: string };

export interface RuntimeApi {
  /** `address:port`, for AWS_LAMBDA_RUNTIME_API. */
  readonly address: string;
  /** Hands an invocation to the client, which waits in `next` or will. */
  deliver(delivery: Delivery): void;
  close(): void;
}

const PREFIX = '/2018-06-01/runtime/';

/** A runtime client has one or two; a stranger's is open for as long as it takes to see that it is one. */
const MOST_CONNECTIONS = 64;

/**
 * @param slot the sandbox's
 * @param isOwn whether a connection comes from the sandbox; needed where others could make one, too
 */
export async function startRuntimeApi(
  slot: Slot,
  isOwn: (socket: Socket) => Promise<boolean>,
  onEvent: (event: RuntimeEvent) => void,
): Promise<RuntimeApi> {
  const client = new RuntimeClient(onEvent);
  const server = createServer((request, response) => {
    client.route(request, response).catch(() => response.destroy());
  });
  // A client waits in `next` for as long as its sandbox is frozen.
  server.keepAliveTimeout = 0;
  server.requestTimeout = 0;
  server.headersTimeout = 0;
  server.timeout = 0;
  // Nothing is read of a connection before it is known whose it is.
  const listener = createListener({ pauseOnConnect: true }, (socket) => {
    socket.on('error', () => socket.destroy());
    (slot.exclusive ? Promise.resolve(true) : isOwn(socket)).then(
      (own) => {
        if (!own) return socket.destroy();
        server.emit('connection', socket);
        return socket.resume();
      },
      () => socket.destroy(),
    );
  });
  listener.maxConnections = MOST_CONNECTIONS;
  const address = await slot.listen(listener);
  return {
    address,
    deliver: (delivery) => client.deliver(delivery),
    close: () => {
      listener.close();
      server.close();
      server.closeAllConnections();
    },
  };
}

/** The invocation that the client has, the one that waits for it, and its open request for one. */
class RuntimeClient {
  readonly #onEvent: (event: RuntimeEvent) => void;
  #waiting: ServerResponse | undefined;
  #pending: Delivery | undefined;
  #current: string | undefined;

  constructor(onEvent: (event: RuntimeEvent) => void) {
    this.#onEvent = onEvent;
  }

  deliver(delivery: Delivery): void {
    this.#pending = delivery;
    this.#hand();
  }

  async route(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const path = request.url ?? '';
    const operation = path.startsWith(PREFIX) ? path.slice(PREFIX.length) : '';
    if (request.method === 'GET' && operation === 'invocation/next') return this.#next(response);
    const [, requestId, kind] = /^invocation\/([^/]+)\/(response|error)$/.exec(operation) ?? [];
    if (request.method === 'POST' && requestId) return this.#finish(request, response, requestId, kind);
    if (request.method === 'POST' && operation === 'init/error') {
      const body = (await readBody(request, LIMITS.response)) ?? Buffer.from('{}');
      answer(response, 202, { status: 'OK' });
      return this.#onEvent({ type: 'init-error', body, errorType: errorType(request) });
    }
    return answer(response, 404, {
      errorType: 'NotFound',
      errorMessage: `no such operation: ${request.method} ${path}`,
    });
  }

  #next(response: ServerResponse): void {
    this.#waiting = response;
    response.on('close', () => {
      if (this.#waiting === response) this.#waiting = undefined;
    });
    this.#onEvent({ type: 'next' });
    this.#hand();
  }

  #hand(): void {
    const waiting = this.#waiting;
    if (!waiting || !this.#pending) return;
    const { requestId, functionName, payload, deadline, traceId, clientContext, tenantId } = this.#pending;
    waiting.writeHead(200, {
      'content-type': 'application/json',
      'content-length': payload.length,
      'lambda-runtime-aws-request-id': requestId,
      'lambda-runtime-deadline-ms': String(deadline),
      'lambda-runtime-invoked-function-arn': functionArn(functionName),
      ...(traceId ? { 'lambda-runtime-trace-id': traceId } : {}),
      ...(clientContext ? { 'lambda-runtime-client-context': clientContext } : {}),
      ...(tenantId ? { 'lambda-runtime-aws-tenant-id': tenantId } : {}),
    });
    waiting.end(payload);
    this.#current = requestId;
    this.#waiting = undefined;
    this.#pending = undefined;
  }

  async #finish(request: IncomingMessage, response: ServerResponse, requestId: string, kind: string): Promise<void> {
    const body = await readBody(request, LIMITS.response);
    if (requestId !== this.#current)
      return answer(response, 400, { errorType: 'InvalidRequestID', errorMessage: 'Invalid request ID' });
    this.#current = undefined;
    if (body === undefined) {
      const errorMessage = `Exceeded maximum allowed payload size (${LIMITS.response} bytes).`;
      answer(response, 413, { errorType: 'RequestEntityTooLarge', errorMessage });
      return this.#onEvent({ type: 'too-large', requestId });
    }
    answer(response, 202, { status: 'OK' });
    if (kind === 'response') return this.#onEvent({ type: 'response', requestId, body });
    return this.#onEvent({ type: 'error', requestId, body, errorType: errorType(request) });
  }
}

function answer(response: ServerResponse, status: number, body: object): void {
  const text = JSON.stringify(body);
  response.writeHead(status, { 'content-type': 'application/json', 'content-length': Buffer.byteLength(text) });
  response.end(text);
}

function errorType(request: IncomingMessage): string | undefined {
  const value = request.headers['lambda-runtime-function-error-type'];
  return typeof value === 'string' ? value : undefined;
}

/** The whole body; undefined when it is larger than that (it is read to its end, so that the answer is seen). */
async function readBody(request: IncomingMessage, limit: number): Promise<Buffer | undefined> {
  const chunks: Buffer[] = [];
  let size = 0;
  for await (const chunk of request as AsyncIterable<Buffer>) {
    size += chunk.length;
    if (size <= limit) chunks.push(chunk);
  }
  return size > limit ? undefined : Buffer.concat(chunks);
}

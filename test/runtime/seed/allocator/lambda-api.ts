/**
 * A Lambda API for tests of the seed: a real HTTP server that speaks Invoke (`RequestResponse`) as Lambda does, with
 * reserved concurrency 1 or without. Its functions are test code that runs real control sessions.
 */
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import type { Invocation, InvocationResult } from '../../../../src/contract/platform/invocation';

export type HostFunction = (invocation: Invocation) => Promise<InvocationResult>;

export interface LambdaApi {
  readonly endpoint: string;
  readonly functions: Map<string, HostFunction>;
  /** Every invocation that was asked for, also those answered with 429. */
  readonly requests: Array<{
    name: string;
    invocation: Invocation;
    headers: Record<string, unknown>;
    throttled: boolean;
  }>;
  /** Closes the connections of open invocations; the functions go on, as they do on Lambda. */
  dropConnections(): void;
  close(): Promise<void>;
}

export async function lambdaApi({ reserved = true } = {}): Promise<LambdaApi> {
  const functions = new Map<string, HostFunction>();
  const requests: LambdaApi['requests'] = [];
  const busy = new Set<string>();
  const server = createServer(async (request, response) => {
    const reply = (status: number, body: unknown, headers: Record<string, string> = {}) => {
      const text = Buffer.from(JSON.stringify(body));
      response.writeHead(status, { 'content-type': 'application/json', 'content-length': text.length, ...headers });
      response.end(text);
    };
    const refuse = (status: number, type: string, body: object) => reply(status, body, { 'x-amzn-errortype': type });
    const chunks: Buffer[] = [];
    for await (const chunk of request) chunks.push(chunk as Buffer);
    const name = /^\/2015-03-31\/functions\/([^/]+)\/invocations$/.exec(request.url ?? '')?.[1] ?? '';
    const run = functions.get(name);
    if (!run) return refuse(404, 'ResourceNotFoundException', { Type: 'User', Message: `Function not found: ${name}` });
    const invocation = JSON.parse(Buffer.concat(chunks).toString()) as Invocation;
    const throttled = reserved && busy.has(name);
    requests.push({ name, invocation, headers: request.headers, throttled });
    if (throttled) {
      const Reason = 'ReservedFunctionConcurrentInvocationLimitExceeded';
      return refuse(429, 'TooManyRequestsException', { Reason, Type: 'User', message: 'Rate Exceeded.' });
    }
    busy.add(name);
    try {
      const result = await run(invocation);
      busy.delete(name);
      reply(200, result, { 'x-amz-executed-version': '$LATEST' });
    } catch (error) {
      busy.delete(name);
      const { name: errorType, message: errorMessage } = error as Error;
      reply(200, { errorType, errorMessage, trace: [] }, { 'x-amz-function-error': 'Unhandled' });
    }
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return {
    endpoint: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    functions,
    requests,
    dropConnections: () => server.closeAllConnections(),
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
}

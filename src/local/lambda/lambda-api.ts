/** Lambda's Invoke API over HTTP, as the SDK's client speaks it. */
import { randomUUID } from 'node:crypto';
import type { IncomingMessage, ServerResponse } from 'node:http';
import { type ApiServer, startApiServer } from '../api/api-server';
import { type Bounds, type Held, holdBodies, NoRoomError } from '../api/bodies';
import { type Credentials, checkHead, type SignatureProblem } from '../api/signature';
import type { Request } from '../sandbox/sandbox';
import { type AsyncOptions, createAsyncQueue } from './async-queue';
import { type FunctionPool, ThrottledError } from './functions';
import * as errors from './lambda-errors';
import { LIMITS } from './lambda-limits';

export interface LambdaApiOptions {
  readonly functions: ReadonlyMap<string, FunctionPool>;
  readonly credentials: Credentials;
  readonly async?: AsyncOptions;
  readonly bounds?: Bounds;
  /** Milliseconds that a request may take to arrive. Default: a minute. */
  readonly arrival?: number;
}

const ARRIVAL = 60_000;
/** How long a refused client may go on sending, so that the answer is read. */
const UNREAD = 1_000;
const MOST_CONNECTIONS = 4_096;

const INVOKE = /^\/2015-03-31\/functions\/([^/]+)\/invocations$/;

/** An answer that is an error of the API. */
class Refusal extends Error {
  constructor(readonly error: errors.ApiError) {
    super(error.type);
  }
}

export async function startLambdaApi(options: LambdaApiOptions): Promise<ApiServer> {
  const { functions, credentials, bounds, arrival = ARRIVAL } = options;
  const queue = createAsyncQueue(options.async);
  const bodies = holdBodies(bounds);

  const handle = async (request: IncomingMessage, response: ServerResponse, requestId: string) => {
    // Before anything is kept for somebody who may be anybody.
    const head = checkHead(request, credentials);
    if (head.problem) throw new Refusal(errors.denied(head.problem.type, head.problem.message));
    const held = bodies.admit(request);
    try {
      await answer(request, response, requestId, held, head.check);
    } finally {
      held.release();
    }
  };

  const answer = async (
    request: IncomingMessage,
    response: ServerResponse,
    requestId: string,
    held: Held,
    check: (body: Uint8Array) => SignatureProblem | undefined,
  ) => {
    const url = new URL(request.url ?? '/', 'http://local');
    const event = request.headers['x-amz-invocation-type'] === 'Event';
    const size = Number(request.headers['content-length'] ?? 0);
    const body = await held.read(LIMITS.request);
    const problem = body && check(body);
    if (problem) throw new Refusal(errors.denied(problem.type, problem.message));
    const [, encodedName] = (request.method === 'POST' && INVOKE.exec(url.pathname)) || [];
    if (encodedName === undefined) throw new Refusal(errors.unknownOperation());
    const pool = find(functions, decodeURIComponent(encodedName), url.searchParams.get('Qualifier'));
    if (event && (body?.length ?? size) > LIMITS.event)
      throw new Refusal(errors.eventTooLarge(body?.length ?? size, LIMITS.event));
    if (!body) throw new Refusal(errors.requestTooLarge(LIMITS.request));
    await invoke(pool, parse(request, requestId, body, tenantOf(request, pool)), request, response, held);
  };

  const invoke = async (
    pool: FunctionPool,
    invocation: Request,
    request: IncomingMessage,
    response: ServerResponse,
    held: Held,
  ) => {
    switch (request.headers['x-amz-invocation-type'] ?? 'RequestResponse') {
      case 'DryRun':
        return void response.writeHead(204).end();
      case 'Event':
        queue.add(pool, invocation, held.keep());
        return void response.writeHead(202).end();
      case 'RequestResponse':
        break;
      default:
        throw new Refusal(errors.invalidParameter('the invocation type is none of Event, RequestResponse, DryRun'));
    }
    const { outcome, logTail } = await pool.invoke(invocation);
    response.writeHead(200, {
      'content-type': 'application/json',
      'content-length': outcome.body.length,
      'x-amz-executed-version': '$LATEST',
      ...(outcome.type === 'error' ? { 'x-amz-function-error': 'Unhandled' } : {}),
      ...(request.headers['x-amz-log-type'] === 'Tail' ? { 'x-amz-log-result': logTail.toString('base64') } : {}),
    });
    response.end(outcome.body);
  };

  const server = await startApiServer({ arrival, connections: MOST_CONNECTIONS }, (request, response) => {
    const requestId = randomUUID();
    response.setHeader('x-amzn-requestid', requestId);
    handle(request, response, requestId).catch((error: Error) => refuse(request, response, error));
  });
  return {
    ...server,
    close: () => {
      queue.close();
      return server.close();
    },
  };
}

/** By name, partial ARN or ARN, with $LATEST as the only version. */
function find(functions: ReadonlyMap<string, FunctionPool>, id: string, qualifier: string | null): FunctionPool {
  const [, name, version] =
    /^(?:(?:arn:[\w-]+:lambda:[\w-]+:)?\d{12}:function:)?([\w-]+)(?::([$\w-]+))?$/.exec(id) ?? [];
  const pool = functions.get(name);
  const wanted = qualifier ?? version ?? '$LATEST';
  if (!pool || wanted !== '$LATEST')
    throw new Refusal(errors.notFound(wanted === '$LATEST' ? (name ?? id) : `${name}:${wanted}`));
  return pool;
}

const TENANT_ID = /^[a-zA-Z0-9._:/=+\-@ ]+$/;

/** Whose sandboxes serve it. Undefined: the function's have no tenants. */
function tenantOf(request: IncomingMessage, { fn }: FunctionPool): string | undefined {
  const tenant = request.headers['x-amz-tenant-id'] as string | undefined;
  if (!tenant) {
    if (fn.tenantIsolation) throw new Refusal(errors.tenantMissing());
    return undefined;
  }
  if (!TENANT_ID.test(tenant) || tenant.length > LIMITS.tenantId) {
    throw new Refusal(errors.badTenant(tenant, TENANT_ID.source.slice(1, -1), LIMITS.tenantId));
  }
  if (!fn.tenantIsolation) throw new Refusal(errors.tenantUnexpected());
  return tenant;
}

function parse(request: IncomingMessage, requestId: string, body: Buffer, tenantId: string | undefined): Request {
  const payload = body.length > 0 ? body : Buffer.from('{}');
  try {
    JSON.parse(payload.toString('utf8'));
  } catch (error) {
    throw new Refusal(errors.notJson((error as Error).message));
  }
  const header = (name: string) => request.headers[name] as string | undefined;
  const context = header('x-amz-client-context');
  return {
    requestId,
    payload,
    traceId:
      header('x-amzn-trace-id') ??
      `Root=1-${Math.floor(Date.now() / 1000).toString(16)}-${requestId.replace(/-/g, '').slice(0, 24)}`,
    ...(tenantId === undefined ? {} : { tenantId }),
    ...(context ? { clientContext: Buffer.from(context, 'base64').toString('utf8') } : {}),
  };
}

function explain(error: Error): errors.ApiError {
  if (error instanceof Refusal) return error.error;
  if (error instanceof ThrottledError) return errors.throttled(error.reason);
  return error instanceof NoRoomError ? errors.noRoom(error.message) : errors.serviceError(error.message);
}

function refuse(request: IncomingMessage, response: ServerResponse, error: Error): void {
  const { status, type, body } = explain(error);
  if (response.headersSent || request.socket.destroyed) return void response.destroy();
  const text = JSON.stringify(body);
  response.writeHead(status, {
    'content-type': 'application/json',
    'content-length': Buffer.byteLength(text),
    'x-amzn-errortype': type,
    ...(request.complete ? {} : { connection: 'close' }),
  });
  if (request.complete) return void response.end(text);
  // A connection that is closed with something unread in it loses the answer: what still comes is thrown away, for a
  // while.
  response.write(text);
  const limit = setTimeout(() => request.socket.destroy(), UNREAD);
  response.once('close', () => clearTimeout(limit));
  request.once('end', () => response.end()).resume();
}

/** The part of DynamoDB's API that a seed's lease needs, over HTTP, as the SDK's client speaks it. */
import { randomUUID } from 'node:crypto';
import type { IncomingMessage, ServerResponse } from 'node:http';
import { type ApiServer, startApiServer } from '../api/api-server';
import { holdBodies, NoRoomError } from '../api/bodies';
import { type Credentials, checkHead } from '../api/signature';
import * as errors from './dynamodb-errors';
import { openTables, parseInput, type TableOptions } from './tables';

export interface DynamodbApiOptions {
  readonly tables: readonly TableOptions[];
  readonly credentials: Credentials;
}

/** Of network `nat`, beside the Invoke API's. */
const PORT = 9002;
/** Milliseconds that a request may take to arrive. */
const ARRIVAL = 10_000;
const LARGEST_REQUEST = 1024 * 1024;
const MOST_CONNECTIONS = 64;
const BOUNDS = { requestsOfConnection: 4, requests: 64, bytes: 8 * 1024 * 1024 };
const TARGET = /^DynamoDB_20120810\.(\w+)$/;

export async function startDynamodbApi({ tables, credentials }: DynamodbApiOptions): Promise<ApiServer> {
  const operations = openTables(tables);
  const bodies = holdBodies(BOUNDS);

  const answer = async (request: IncomingMessage): Promise<object> => {
    // Before anything is kept for somebody who may be anybody.
    const head = checkHead(request, credentials, 'dynamodb');
    if (head.problem) throw new errors.Refusal(errors.denied(head.problem.type, head.problem.message));
    const held = bodies.admit(request);
    try {
      const body = await held.read(LARGEST_REQUEST);
      if (!body) throw new errors.Refusal(errors.tooLarge(LARGEST_REQUEST));
      const problem = head.check(body);
      if (problem) throw new errors.Refusal(errors.denied(problem.type, problem.message));
      const target = String(request.headers['x-amz-target'] ?? '');
      const [, name = ''] = TARGET.exec(target) ?? [];
      if (request.method !== 'POST' || request.url !== '/' || !(name === 'GetItem' || name === 'PutItem')) {
        throw new errors.Refusal(errors.unknownOperation(name || target || `${request.method} ${request.url}`));
      }
      return operations[name](parseInput(parse(body)));
    } finally {
      held.release();
    }
  };

  return startApiServer({ arrival: ARRIVAL, connections: MOST_CONNECTIONS, port: PORT }, (request, response) => {
    response.setHeader('x-amzn-requestid', randomUUID());
    answer(request).then(
      (output) => send(request, response, 200, output),
      (error: Error) => {
        const { status, type, message } = explain(error);
        send(request, response, status, { __type: type, message });
      },
    );
  });
}

function parse(body: Buffer): unknown {
  try {
    return JSON.parse(body.toString('utf8'));
  } catch {
    throw new errors.Refusal(errors.notJson());
  }
}

function explain(error: Error): errors.ApiError {
  if (error instanceof errors.Refusal) return error.error;
  return error instanceof NoRoomError ? errors.noRoom(error.message) : errors.internal(error.message);
}

function send(request: IncomingMessage, response: ServerResponse, status: number, body: object): void {
  if (request.socket.destroyed) return;
  const text = JSON.stringify(body);
  response.writeHead(status, {
    'content-type': 'application/x-amz-json-1.0',
    'content-length': Buffer.byteLength(text),
    // What is left of a request that was not read is nobody's next request.
    ...(request.complete ? {} : { connection: 'close' }),
  });
  response.end(text);
}

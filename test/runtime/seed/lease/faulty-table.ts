/** The real table of a lease behind a way that loses, refuses and delays requests as a test says. */
import { once } from 'node:events';
import { createServer, request as forward, type IncomingMessage } from 'node:http';
import type { AddressInfo } from 'node:net';
import { startDynamodbApi } from '../../../../src/local/dynamodb/dynamodb-api';
import { type LeaseTable, openLeaseTable } from '../../../../src/runtime/seed/lease/lease-table';

/** What becomes of a request. DynamoDB's own words where there is an answer. */
export const FAULTS = {
  throttled: { status: 400, type: 'ProvisionedThroughputExceededException' },
  'too many requests': { status: 400, type: 'ThrottlingException' },
  'server error': { status: 500, type: 'InternalServerError' },
  denied: { status: 400, type: 'AccessDeniedException' },
  /** It never arrives. */
  'request lost': 'request lost',
  /** It takes effect, and nobody hears of it. */
  'answer lost': 'answer lost',
  /** It takes effect, and the connection breaks. */
  'connection reset': 'connection reset',
} as const;
export type Fault = keyof typeof FAULTS;

export type Operation = 'GetItem' | 'PutItem';

export interface FaultyTable {
  /** URL of the way with faults. */
  readonly endpoint: string;
  /** URL of the table itself. */
  readonly direct: string;
  /** A client of its own, that goes through the faults. */
  open(): Promise<LeaseTable>;
  /** The same without faults. */
  openDirectly(): Promise<LeaseTable>;
  /** Says what becomes of each request from now on. Undefined: it is passed on; a promise: once that has resolved. */
  faults(of: (operation: Operation) => Fault | undefined | Promise<undefined>): void;
  close(): Promise<void>;
}

export const CLUSTER = 'shop';

export async function faultyTable(): Promise<FaultyTable> {
  const credentials = { region: 'us-east-1', accessKeyId: 'LOCAL1', secretAccessKey: 'secret' };
  process.env.AWS_ACCESS_KEY_ID = credentials.accessKeyId;
  process.env.AWS_SECRET_ACCESS_KEY = credentials.secretAccessKey;
  const api = await startDynamodbApi({ tables: [{ name: 'leases', key: 'cluster' }], credentials });
  const { port } = new URL(api.url);
  let faultOf: Parameters<FaultyTable['faults']>[0] = () => undefined;

  /** As it came: the signature holds for these headers. */
  const passOn = async ({ method, headers, url }: IncomingMessage, body: Buffer) => {
    const further = forward({ port, host: '127.0.0.1', method, headers, path: url });
    further.end(body);
    const [answer] = (await once(further, 'response')) as [IncomingMessage];
    const chunks: Buffer[] = [];
    for await (const chunk of answer) chunks.push(chunk);
    return { answer, text: Buffer.concat(chunks) };
  };

  const way = createServer(async (request, response) => {
    const chunks: Buffer[] = [];
    for await (const chunk of request) chunks.push(chunk);
    const operation = String(request.headers['x-amz-target']).split('.')[1] as Operation;
    const name = await faultOf(operation);
    const fault = name && FAULTS[name];
    if (fault === 'request lost') return;
    if (typeof fault === 'object') {
      response.writeHead(fault.status, { 'content-type': 'application/x-amz-json-1.0' });
      response.end(JSON.stringify({ __type: `com.amazonaws.dynamodb.v20120810#${fault.type}`, message: 'no' }));
      return;
    }
    const { answer, text } = await passOn(request, Buffer.concat(chunks));
    if (fault === 'answer lost') return;
    if (fault === 'connection reset') return void request.socket.resetAndDestroy();
    response.writeHead(answer.statusCode!, answer.headers).end(text);
  }).listen(0, '127.0.0.1');
  await once(way, 'listening');
  const endpoint = `http://127.0.0.1:${(way.address() as AddressInfo).port}`;
  const options = { table: 'leases', cluster: CLUSTER, region: credentials.region };
  return {
    endpoint,
    direct: api.url,
    open: () => openLeaseTable({ ...options, endpoint }),
    openDirectly: () => openLeaseTable({ ...options, endpoint: api.url }),
    faults: (of) => {
      faultOf = of;
    },
    close: async () => {
      way.close();
      way.closeAllConnections();
      await api.close();
    },
  };
}

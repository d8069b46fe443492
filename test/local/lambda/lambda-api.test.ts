/** Who may invoke, and how much the Invoke API holds for whom. Raw requests, as no client would send them. */
import { createHash, createHmac } from 'node:crypto';
import { connect, type Socket } from 'node:net';
import type { ApiServer } from '../../../src/local/api/api-server';
import type { FunctionPool, Invoked } from '../../../src/local/lambda/functions';
import { startLambdaApi } from '../../../src/local/lambda/lambda-api';
import { eventually } from '../../support/eventually';
import { plain } from '../boot';

const credentials = { region: 'us-east-1', accessKeyId: 'LOCAL1', secretAccessKey: 'secret' };
const PATH = '/2015-03-31/functions/plain/invocations';
const sha256 = (text: string) => createHash('sha256').update(text).digest('hex');

interface Call {
  readonly body?: string;
  /** Signed. */
  readonly headers?: Record<string, string>;
  /** Added afterwards, or instead. */
  readonly unsigned?: Record<string, string>;
  /** Headers that are left out of SignedHeaders. */
  readonly except?: readonly string[];
  readonly time?: number;
  readonly scope?: readonly [region: string, service: string];
  readonly secret?: string;
  readonly key?: string;
  /** Whether x-amz-content-sha256 is among the headers, as the SDK for JavaScript sends it and others do not. */
  readonly hash?: boolean;
}

/** A request, signed as AWS describes it. @returns its head, and its body */
function request(call: Call = {}): [head: string, body: string] {
  const { body = '{}', time = Date.now(), scope = ['us-east-1', 'lambda'], hash = true } = call;
  const date = new Date(time).toISOString().replace(/[-:]|\.\d{3}/g, '');
  const all: Record<string, string> = {
    host: 'local',
    'x-amz-date': date,
    ...(hash ? { 'x-amz-content-sha256': sha256(body) } : {}),
    ...call.headers,
  };
  const names = Object.keys(all)
    .sort()
    .filter((name) => !call.except?.includes(name));
  const canonical = [
    'POST',
    PATH,
    '',
    ...names.map((name) => `${name}:${all[name]}`),
    '',
    names.join(';'),
    sha256(body),
  ];
  const parts = [date.slice(0, 8), ...scope, 'aws4_request'];
  const key = parts.reduce<string | Buffer>(
    (k, part) => createHmac('sha256', k).update(part).digest(),
    `AWS4${call.secret ?? credentials.secretAccessKey}`,
  );
  const text = ['AWS4-HMAC-SHA256', date, parts.join('/'), sha256(canonical.join('\n'))].join('\n');
  const signature = createHmac('sha256', key).update(text).digest('hex');
  const sent: Record<string, string> = {
    ...all,
    'content-length': String(Buffer.byteLength(body)),
    authorization: `AWS4-HMAC-SHA256 Credential=${call.key ?? credentials.accessKeyId}/${parts.join('/')}, SignedHeaders=${names.join(';')}, Signature=${signature}`,
    ...call.unsigned,
  };
  const lines = Object.entries(sent)
    .filter(([, value]) => value !== '')
    .map(([name, value]) => `${name}: ${value}`);
  return [`POST ${PATH} HTTP/1.1\r\n${lines.join('\r\n')}\r\n\r\n`, body];
}

let api: ApiServer;
let invoked: string[];
/** Ends the invocations that are under way. */
let finish: () => void;
const pool: FunctionPool = {
  fn: plain(),
  invoke: ({ payload }) =>
    new Promise<Invoked>((done) => {
      invoked.push(payload.toString());
      const before = finish;
      finish = () => {
        before();
        done({ outcome: { type: 'response', body: Buffer.from('"done"') }, logTail: Buffer.alloc(0) });
      };
    }),
  close: async () => undefined,
};

const start = (arrival: number) =>
  startLambdaApi({
    functions: new Map([['plain', pool]]),
    credentials,
    bounds: { requestsOfConnection: 2, requests: 6, bytes: 10_000 },
    arrival,
  });

beforeEach(async () => {
  invoked = [];
  finish = () => undefined;
  api = await start(400);
});
afterEach(() => api.close());

const open = (): Socket => connect(Number(new URL(api.url).port), '127.0.0.1').on('error', () => undefined);

/** What comes, until that many answers are there (or the connection ends). */
function answers(socket: Socket, count = 1): Promise<string[]> {
  return new Promise((done) => {
    let text = '';
    const found = () => text.match(/HTTP\/1\.1 \d+ [\s\S]*?(?=HTTP\/1\.1|$)/g) ?? [];
    socket.on('data', (chunk: Buffer) => {
      text += chunk.toString();
      if (found().length >= count && found().every((one) => one.includes('\r\n\r\n'))) done(found());
    });
    socket.once('close', () => done(found()));
  });
}
const status = (answer: string | undefined) => Number(answer?.split(' ')[1]);
const send = async (call: Call, whole = true): Promise<string> => {
  const socket = open();
  const [head, body] = request(call);
  socket.write(whole ? head + body : head);
  const [answer] = await answers(socket);
  socket.destroy();
  return answer;
};
test('a request that is right', async () => {
  for (const hash of [true, false]) {
    const answer = send({ hash, headers: { 'x-amz-log-type': 'Tail' } });
    await eventually(() => invoked.length > 0);
    finish();
    expect(status(await answer)).toBe(200);
    invoked = [];
  }
});

const HOUR = 3_600_000;
const wrong: ReadonlyArray<readonly [string, Call]> = [
  ['no signature', { unsigned: { authorization: '' } }],
  ['another scheme', { unsigned: { authorization: 'Basic YTpi' } }],
  ['another key', { key: 'LOCAL2' }],
  ['an old time', { time: Date.now() - HOUR }],
  ['a time to come', { time: Date.now() + HOUR }],
  ['another region', { scope: ['eu-west-1', 'lambda'] }],
  ['another service', { scope: ['us-east-1', 's3'] }],
  ['another secret, with the body’s hash in the headers', { secret: 'other' }],
  ['a header changed', { headers: { 'x-amz-log-type': 'Tail' }, unsigned: { 'x-amz-log-type': 'None' } }],
  ['host not signed', { except: ['host'] }],
  ...['invocation-type', 'log-type', 'client-context', 'security-token', 'tenant-id', 'whatever'].map(
    (name) => [`x-amz-${name} added`, { unsigned: { [`x-amz-${name}`]: 'Event' } }] as const,
  ),
  ...['x-amz-date', 'x-amz-content-sha256', 'x-amz-log-type'].map(
    (name) => [`${name} not signed`, { headers: { 'x-amz-log-type': 'Tail' }, except: [name] }] as const,
  ),
];
test.each(wrong)('refused before its body has come: %s', async (_, call) => {
  const answer = await send({ body: ' '.repeat(9_000), ...call }, false);
  expect([answer.split('\r\n')[0], invoked]).toEqual(['HTTP/1.1 403 Forbidden', []]);
});

test('refused when its body has come: another one than was signed', async () => {
  for (const hash of [true, false]) {
    const socket = open();
    const [head] = request({ hash, body: '{"a":1}' });
    socket.write(`${head}{"a":2}`);
    expect([status((await answers(socket))[0]), invoked]).toEqual([403, []]);
    socket.destroy();
  }
});

test('eighty strangers that send 6 MB each: nothing of it is held', async () => {
  await api.close();
  // All of it has the time to arrive, also on a busy machine.
  api = await start(60_000);
  const before = process.memoryUsage().rss;
  const body = Buffer.alloc(6 * 1024 * 1024, ' ');
  const all = Array.from({ length: 80 }, async () => {
    const socket = open();
    const answer = answers(socket);
    socket.write(`POST ${PATH} HTTP/1.1\r\nhost: x\r\ncontent-length: ${body.length}\r\n\r\n`);
    socket.write(body);
    expect(status((await answer)[0])).toBe(403);
    socket.destroy();
  });
  await Promise.all(all);
  // What was read and dropped is garbage for a while; that does not grow with the number of strangers.
  expect(process.memoryUsage().rss - before).toBeLessThan((80 * body.length) / 2);
});

test('a connection has so many requests at a time, others go on', async () => {
  const socket = open();
  socket.write(Array.from({ length: 3 }, () => request().join('')).join(''));
  await eventually(() => invoked.length === 2);
  const other = send({});
  await eventually(() => invoked.length === 3);
  finish();
  expect((await answers(socket, 3)).map(status)).toEqual([200, 200, 429]);
  expect(status(await other)).toBe(200);
  socket.destroy();
});

test('so many requests in all, and room again when they are answered', async () => {
  const waiting = Array.from({ length: 6 }, () => send({}));
  await eventually(() => invoked.length === 6);
  expect(status(await send({}))).toBe(429);
  finish();
  expect((await Promise.all(waiting)).map(status)).toEqual(Array(6).fill(200));
  const next = send({});
  await eventually(() => invoked.length === 7);
  finish();
  expect(status(await next)).toBe(200);
});

test.each(['RequestResponse', 'Event'])(
  'so many bytes in all, and room again when they are done with: %s',
  async (type) => {
    const call = { body: `"${'x'.repeat(4_000)}"`, headers: { 'x-amz-invocation-type': type } };
    const two = [send(call), send(call)];
    await eventually(() => invoked.length === 2);
    if (type === 'Event') expect((await Promise.all(two)).map(status)).toEqual([202, 202]);
    expect(status(await send(call))).toBe(429);
    finish();
    await Promise.all(two);
    const next = send(call);
    await eventually(() => invoked.length === 3);
    finish();
    expect(status(await next)).toBe(type === 'Event' ? 202 : 200);
  },
);

test.each([
  ['headers', () => 'POST / HTTP/1.1\r\nhost: x\r\n'],
  ['a body', () => request({ body: '"whole"' })[0] + '"who'],
])('not waited for: %s without an end', async (_, text) => {
  const socket = open();
  socket.write(text());
  expect((await answers(socket)).map(status)).toEqual([408]);
  socket.destroy();
  expect(invoked).toEqual([]);
});

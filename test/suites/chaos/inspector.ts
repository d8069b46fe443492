/**
 * A program: `inspector.ts PORT PID` has the Node.js process that has its inspector at the port collect its garbage, and
 * prints its `process.memoryUsage()` as JSON. `PID` is what the process is to call itself. It talks to the inspector in
 * the least of the WebSocket protocol (RFC 6455) that this takes, as Node.js 20 has no client for it.
 *
 * A program of its own, because on network `nat` the inspector is in another network namespace.
 */
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { get, type IncomingMessage, request } from 'node:http';
import type { Socket } from 'node:net';
import { text } from 'node:stream/consumers';
import { setTimeout as later } from 'node:timers/promises';

const HOST = '127.0.0.1';
/** Nothing is sent when a signal has opened an inspector, or when it has closed. So it is looked for: milliseconds. */
const LOOK_EVERY = 20;

/** The identifier of what the inspector inspects; undefined: there is no inspector. */
async function targetNow(port: number): Promise<string | undefined> {
  try {
    const [answer] = (await once(get({ host: HOST, port, path: '/json' }), 'response')) as [IncomingMessage];
    const [{ id }] = JSON.parse(await text(answer));
    return id;
  } catch (error) {
    // The second one: it closes at this moment.
    if (['ECONNREFUSED', 'ECONNRESET'].includes((error as NodeJS.ErrnoException).code ?? '')) return undefined;
    throw error;
  }
}

async function target(port: number): Promise<string> {
  for (;;) {
    const id = await targetNow(port);
    if (id !== undefined) return id;
    await later(LOOK_EVERY);
  }
}

/** A frame with a text, masked as a client's has to be. */
function frameOf(message: string): Buffer {
  const payload = Buffer.from(message);
  if (payload.length > 0xffff) throw new RangeError(`a message of ${payload.length} bytes; allowed: 65535`);
  const head = Buffer.from([0x81, 0x80 | 126, payload.length >> 8, payload.length & 0xff]);
  const mask = randomBytes(4);
  return Buffer.concat([head, mask, payload.map((byte, i) => byte ^ mask[i % 4])]);
}

/** First byte of the frame that says good-bye: nothing follows it. The end of the connection does. */
const CLOSE = 0x88;

/** The first frame of what has come, and its length; undefined: it is not all there. */
function firstFrame(bytes: Buffer): { readonly message: string; readonly length: number } | undefined {
  if (bytes.length < 2) return undefined;
  if (bytes[0] === CLOSE) return undefined;
  if (bytes[0] !== 0x81) throw new Error(`a frame that begins with 0x${bytes[0].toString(16)}; expected: a whole text`);
  const [short, extended] = [bytes[1] & 0x7f, { 126: 2, 127: 8 }[bytes[1] & 0x7f] ?? 0];
  const begin = 2 + extended;
  if (bytes.length < begin) return undefined;
  const length = begin + (extended ? bytes.readUIntBE(begin - Math.min(extended, 6), Math.min(extended, 6)) : short);
  return bytes.length < length ? undefined : { message: bytes.toString('utf8', begin, length), length };
}

interface Answer {
  readonly id?: number;
  readonly error?: { readonly message: string };
  readonly result?: {
    readonly result?: { readonly value?: unknown };
    readonly exceptionDetails?: { readonly text: string };
  };
}

const ENDED: Answer = { error: { message: 'the connection has ended' } };

class Session {
  readonly #socket: Socket;
  readonly #open = new Map<number, (answer: Answer) => void>();
  #ended = false;
  #bytes: Buffer;
  #last = 0;

  private constructor(socket: Socket, head: Buffer) {
    this.#socket = socket;
    this.#bytes = head;
    socket.on('data', (bytes: Buffer) => this.#take(bytes));
    socket.on('error', () => undefined); // and then comes `close`
    socket.once('close', () => {
      this.#ended = true;
      for (const answer of this.#open.values()) answer(ENDED);
    });
    this.#take(Buffer.alloc(0));
  }

  static async begin(port: number): Promise<Session> {
    const headers = {
      ...{ Connection: 'Upgrade', Upgrade: 'websocket' },
      ...{ 'Sec-WebSocket-Version': '13', 'Sec-WebSocket-Key': randomBytes(16).toString('base64') },
    };
    const asked = request({ host: HOST, port, path: `/${await target(port)}`, headers });
    asked.end();
    const [, socket, head] = (await once(asked, 'upgrade')) as [IncomingMessage, Socket, Buffer];
    return new Session(socket, head);
  }

  /** @throws Error that the inspector answers with */
  async call(method: string, params: object = {}): Promise<unknown> {
    const id = ++this.#last;
    const answered = this.#ended ? ENDED : new Promise<Answer>((take) => this.#open.set(id, take));
    this.#socket.write(frameOf(JSON.stringify({ id, method, params })));
    const { error, result } = await answered;
    const problem = error?.message ?? result?.exceptionDetails?.text;
    if (problem !== undefined) throw new Error(`${method}: ${problem}`);
    return result?.result?.value;
  }

  end(): void {
    this.#socket.destroy();
  }

  #take(bytes: Buffer): void {
    this.#bytes = Buffer.concat([this.#bytes, bytes]);
    for (let frame = firstFrame(this.#bytes); frame; frame = firstFrame(this.#bytes)) {
      this.#bytes = this.#bytes.subarray(frame.length);
      const answer: Answer = JSON.parse(frame.message);
      // What has no number is an event.
      if (answer.id !== undefined) this.#open.get(answer.id)?.(answer);
    }
  }
}

async function main(port: number, pid: number): Promise<void> {
  const session = await Session.begin(port);
  const evaluate = (expression: string) =>
    session.call('Runtime.evaluate', { expression, includeCommandLineAPI: true, returnByValue: true });
  const found = await evaluate('process.pid');
  if (found !== pid) throw new Error(`the inspector at port ${port} is that of process ${found}, not of ${pid}`);
  // What a first collection finalizes, a second one collects.
  for (let i = 0; i < 2; i++) await session.call('HeapProfiler.collectGarbage');
  process.stdout.write(JSON.stringify(await evaluate('process.memoryUsage()')));
  if (process.argv[4] !== 'close') return session.end();
  // It closes when nobody is connected any more, and then the next process may have the port.
  await evaluate("{ const load = require; setImmediate(() => load('inspector').close()) }");
  session.end();
  while ((await targetNow(port)) !== undefined) await later(LOOK_EVERY);
}

main(Number(process.argv[2]), Number(process.argv[3])).catch((error: Error) => {
  process.stderr.write(`${error.message}\n`);
  process.exitCode = 1;
});

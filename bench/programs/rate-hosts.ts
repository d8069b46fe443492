/**
 * A platform that costs nothing, for the suite `rate`: its Invoke API starts no sandbox. What it is asked to invoke joins
 * at once, over a control connection with the key of its epoch, as a supervisor does, and listens. A client locates one
 * host after the other; a host that was located leaves as released, and its invocation returns.
 */
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import type { FromSeed } from '../../src/contract/control/from-seed';
import { CLIENT_IDENTITY, hostIdentity, joinSecret } from '../../src/contract/control/psk';
import type { Invocation, InvocationResult } from '../../src/contract/platform/invocation';
import { type Control, openControl, openSession, type Session } from '../../src/runtime/control/index';

export type Order =
  | { readonly do: 'listen' }
  | { readonly do: 'join'; readonly seed: string; readonly key: string }
  /** Allocates and releases each of these hosts, one after the other, `atOnce` at a time, until `count` were. */
  | { readonly do: 'allocate'; readonly hosts: number; readonly count: number; readonly atOnce: number };

export interface Allocated {
  /** Milliseconds of CPU of this process. */
  readonly cpu: number;
  /** Milliseconds from a locate to its answer. */
  readonly times: readonly number[];
}

const PORT = 80;
const mapping = { port: PORT, realPort: 40_080, scope: 'any' as const };

/** Called when the host was located: it leaves. Resolves when its invocation has returned. */
const leaves = new Map<string, () => Promise<void>>();

/** As a supervisor does: joins as the invocation's epoch, starts its guest, reports what it listens on. */
async function host({ seed, host: name, epoch, secret }: Invocation): Promise<InvocationResult> {
  return new Promise((returned, fail) => {
    let control: Control;
    const onFrame = (frame: FromSeed) => {
      if (frame.type === 'refuse') fail(new Error(`${name}: refused: ${frame.reason}`));
      if (frame.type !== 'welcome') return;
      control.send({ type: 'report', event: 'guest-started', detail: { pid: 1 } });
      control.send({ type: 'ports', ports: [mapping], settled: true });
    };
    leaves.set(name, async () => {
      leaves.delete(name);
      control.send({ type: 'leave', outcome: 'released' });
      await control.end();
      returned({ host: name, epoch, outcome: 'released' });
    });
    openControl({ seed, identity: hostIdentity(name, epoch), secret, onFrame }).then((open) => {
      control = open;
      control.send({ type: 'join', host: name, epoch, life: String(epoch), ports: [] });
    }, fail);
  });
}

async function serve(request: IncomingMessage, response: ServerResponse): Promise<void> {
  const chunks: Buffer[] = [];
  for await (const chunk of request) chunks.push(chunk as Buffer);
  const result = await host(JSON.parse(Buffer.concat(chunks).toString()) as Invocation);
  response.writeHead(200, { 'content-type': 'application/json', 'x-amz-executed-version': '$LATEST' });
  response.end(JSON.stringify(result), onReturned.get(result.host));
}

/** Resolved when the seed has the result of a host's invocation. */
const onReturned = new Map<string, () => void>();

let session: Session;

async function allocate({ hosts, count, atOnce }: Extract<Order, { do: 'allocate' }>): Promise<Allocated> {
  const times: number[] = [];
  const before = process.cpuUsage();
  let next = 0;
  const one = async (first: number) => {
    // Each has hosts of its own, in turn.
    for (let i = first; next < count; i = i + atOnce < hosts ? i + atOnce : first) {
      next += 1;
      const name = `host-${i}`;
      const began = performance.now();
      await session.locate(name, PORT);
      times.push(performance.now() - began);
      const returned = new Promise<void>((resolve) => onReturned.set(name, resolve));
      await leaves.get(name)!();
      await returned;
    }
  };
  await Promise.all(Array.from({ length: atOnce }, (_, i) => one(i)));
  const { user, system } = process.cpuUsage(before);
  return { cpu: (user + system) / 1_000, times };
}

async function run(order: Order): Promise<unknown> {
  switch (order.do) {
    case 'listen': {
      const server = createServer({ keepAliveTimeout: 60_000 }, (request, response) => {
        serve(request, response).catch((error: Error) => process.send!({ error: error.stack }));
      });
      await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
      return (server.address() as AddressInfo).port;
    }
    case 'join':
      session = await openSession({
        seed: order.seed,
        identity: CLIENT_IDENTITY,
        secret: joinSecret(Buffer.from(order.key), 'bench', CLIENT_IDENTITY),
        join: () => ({ ports: [] }),
        onLocation: () => undefined,
        onStop: (reason) => process.send!({ error: `the client was stopped: ${reason}` }),
      });
      return;
    case 'allocate':
      return allocate(order);
  }
}

process.on('message', (order: Order) => {
  run(order).then(
    (result) => process.send!({ result }),
    (error: Error) => process.send!({ error: error.stack }),
  );
});

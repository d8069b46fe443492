import { once } from 'node:events';
import { connect, createServer, type Socket } from 'node:net';
import { afterReading } from '../../src/runtime/after-reading';

/** Two ends of one connection. */
async function pair(): Promise<[Socket, Socket]> {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as { port: number };
  const accepted = once(server, 'connection');
  const here = connect(port, '127.0.0.1');
  const [there] = (await accepted) as [Socket];
  server.close();
  return [here, there];
}

/** This process gets no processor. */
function stall(ms: number): void {
  const end = performance.now() + ms;
  while (performance.now() < end);
}

test('what has come while the process stood still is not late', async () => {
  const [here, there] = await pair();
  const act = jest.fn();
  const giveUp = afterReading(3, act);
  const answered = new Promise<void>((resolve) =>
    here.once('data', () => {
      giveUp();
      resolve();
    }),
  );
  there.write('answer');
  stall(30);
  await answered;
  here.destroy();
  there.destroy();
  await once(there, 'close');
  expect(act).not.toHaveBeenCalled();
});

test('what has not come is, and not before its time', async () => {
  const began = performance.now();
  await new Promise<void>((resolve) => afterReading(20, resolve));
  expect(performance.now() - began).toBeGreaterThanOrEqual(19);
});

/** The same programs with memory checks: gcc's AddressSanitizer and valgrind, where they are installed. */
import { join } from 'node:path';
import { buildProgram, has, hasAddressSanitizer, type Peer, passed, startEcho, startPeer } from './harness';

jest.setTimeout(180_000);

const address = hasAddressSanitizer ? describe : describe.skip;
const valgrind = has('valgrind') ? describe : describe.skip;

let peer: Peer;
let port: string;

beforeAll(async () => {
  peer = await startPeer(232, hasAddressSanitizer ? ['plain', 'address'] : ['plain']);
  port = (await startEcho(peer)).port;
  await peer.tell('ask api');
});
afterAll(() => peer?.close());

address('under AddressSanitizer', () => {
  test.each([
    ['names'],
    ['many_pending', '100', '3'],
    ['storm', '1'],
    ['closes_all'],
    ['sixes', '100.64.1.1'],
    ['ports'],
    ['datagrams'],
    ['corrupt'],
  ])('%s', async (name, ...more) => {
    const [host, args] =
      name === 'names'
        ? ['web', []]
        : name === 'ports' || name === 'datagrams'
          ? ['db', ['100.64.1.3']]
          : name === 'corrupt'
            ? ['web', [join(peer.folder, 'web', 'table'), '2', '100']]
            : ['web', ['api', port, ...more]];
    passed(await (await peer.program(host, name, args, 'address')).ended);
  });
});

valgrind('under valgrind', () => {
  test.each([['names'], ['many_pending', '30', '2'], ['blocking', '0']])('%s', async (name, ...more) => {
    const program = await buildProgram(name);
    const { LD_PRELOAD, IMAGINARY_DIR } = peer.env('web');
    const shim = [`LD_PRELOAD=${LD_PRELOAD}`, `IMAGINARY_DIR=${IMAGINARY_DIR}`];
    const args = name === 'names' ? [] : ['api', port, ...more];
    const check = ['valgrind', '-q', '--error-exitcode=3', '--trace-children=yes', 'env', ...shim, program, ...args];
    passed(await peer.native(check).ended);
  });
});

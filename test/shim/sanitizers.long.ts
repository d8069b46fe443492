/** The same programs with memory checks: gcc's AddressSanitizer and valgrind, where they are installed. */
import { join } from 'node:path';
import {
  buildProgram,
  type Guest,
  HOSTS,
  has,
  hasAddressSanitizer,
  type Network,
  type Peer,
  passed,
  startEcho,
  startPeer,
} from './harness';

jest.setTimeout(180_000);

const address = hasAddressSanitizer ? describe : describe.skip;
const valgrind = has('valgrind') ? describe : describe.skip;

const NETWORKS: readonly [Network, number][] = [
  ['flat', 232],
  ['handoff', 226],
];

describe.each(NETWORKS)('network %s', (network, flat) => {
  let peer: Peer;
  let port: string;

  beforeAll(async () => {
    peer = await startPeer(flat, hasAddressSanitizer ? ['plain', 'address'] : ['plain'], network);
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
      ['pdeathsig'],
      ['numbered'],
      ['corrupt'],
    ])('%s', async (name, ...more) => {
      const [host, args] =
        name === 'names'
          ? ['web', []]
          : ['ports', 'datagrams', 'numbered'].includes(name)
            ? ['db', ['100.64.1.3']]
            : name === 'corrupt'
              ? ['web', [join(peer.folder, 'web', 'table'), '2', '100']]
              : ['web', ['api', port, ...more]];
      passed(await (await peer.program(host, name, args, 'address')).ended);
    });

    if (network === 'handoff') {
      test('marks', async () => {
        passed(await (await peer.program('web', 'marks', ['api', port], 'address')).ended);
      });
      test.each(['ours', 'another', 'both'])('calls that wait: %s', async (who) => {
        passed(await (await peer.program('web', 'interrupts', [who, '400'], 'address')).ended);
      });
    }

    // Files and interfaces are in files.test.ts. Not `starts`: what starts with an environment of its own lacks the
    // library that has to be loaded first. Not `connects`, which counts libc's memory. Not `fork_pending`, which
    // valgrind looks at below: in a child that is forked while another thread starts, this AddressSanitizer's allocator
    // stays locked, and the child hangs in it.
    test.each([['nonblocking', '0'], ['pending_calls'], ['close_pending'], ['interrupted']])(
      '%s, answered when it waits',
      async (name, ...more) => {
        await peer.tell('hold api');
        try {
          const guest = await peer.program('web', name, ['api', port, ...more], 'address');
          await guest.line('pending');
          await peer.tell('go api');
          passed(await guest.ended);
        } finally {
          await peer.tell('go api');
        }
      },
    );
  });

  /** Both ends of many connections, with one of the shims that look at memory. */
  const states = network === 'handoff' ? ['ask', 'direct', 'ready'] : ['ask', 'direct'];
  async function swarm(
    run: (host: string, program: string, args: readonly string[]) => Promise<Guest>,
    chosen: readonly string[],
    count: string,
  ) {
    for (const state of chosen) {
      const server = await run('db', 'accepts', [HOSTS.db, '5998']);
      await server.line('listening');
      await peer.tell(`${state} db`);
      passed(await (await run('web', 'swarm', ['db', '5998', '4', count])).ended);
      server.process.stdin?.write('end\n');
      passed(await server.ended);
      for (const command of ['unready db', 'auto db', 'unlist db 5998']) await peer.tell(command);
    }
  }

  address('under AddressSanitizer', () => {
    test('a port that is accepted from in every way at once', () =>
      swarm((host, program, args) => peer.program(host, program, args, 'address'), states, '50'));
  });

  valgrind('under valgrind', () => {
    const check = ['valgrind', '-q', '--error-exitcode=3', '--trace-children=yes', 'env'];
    const run = async (host: string, name: string, args: readonly string[]) => {
      const program = await buildProgram(name);
      const { LD_PRELOAD, IMAGINARY_DIR } = peer.env(host);
      return peer.native([...check, `LD_PRELOAD=${LD_PRELOAD}`, `IMAGINARY_DIR=${IMAGINARY_DIR}`, program, ...args]);
    };
    test('a port that is accepted from in every way at once', () => swarm(run, states.slice(-1), '5'));

    test.each([
      ['names'],
      ['interfaces'],
      ['many_pending', '30', '2'],
      ['blocking', '0'],
      ['sixes', '100.64.1.1'],
      ['datagrams'],
      ['numbered'],
    ])('%s', async (name, ...more) => {
      const alone = ['datagrams', 'numbered'].includes(name);
      const args = alone ? ['100.64.1.3'] : ['names', 'interfaces'].includes(name) ? [] : ['api', port, ...more];
      passed(await (await run(alone ? 'db' : 'web', name, args)).ended);
    });

    if (network === 'handoff') {
      // Not `both`: valgrind delivers signals one by one, in an order of its own.
      test.each(['ours', 'another'])('calls that wait: %s', async (who) => {
        // It has no such system calls.
        const without = ['epoll_pwait2', 'numbered_epoll_pwait2', 'numbered_io_pgetevents'];
        passed(await (await run('web', 'interrupts', [who, '3000', ...without])).ended);
      });
    }

    test('fork_pending, answered when it waits', async () => {
      await peer.tell('hold api');
      try {
        const guest = await run('web', 'fork_pending', ['api', port, ...(network === 'handoff' ? ['apart'] : [])]);
        await guest.line('pending');
        await peer.tell('go api');
        passed(await guest.ended);
      } finally {
        await peer.tell('go api');
      }
    });
  });
});

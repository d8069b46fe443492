/**
 * Runs the cases of test/shim/differential natively and as a guest of the shim, with the same server on the other
 * host, and does for them what they ask for. Natively the hosts are two addresses of the loopback interface.
 */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { buildProgram, type Guest, HOSTS, type Peer, start } from './harness';

const FOLDER = 'differential';

/**
 * What the other host is while a case runs: `direct`, the table says where it is; `ask`, the supervisor must be asked.
 * Where hosts do not reach each other: `ready`, connections to it stand ready; `listed`, it is up and they have to be
 * made; `handoff-ask`, the supervisor must be asked.
 */
export type Way = 'direct' | 'ask' | 'ready' | 'listed' | 'handoff-ask';
export const HANDOFF_WAYS: readonly Way[] = ['ready', 'listed', 'handoff-ask'];

/** The names of the cases in an area's table. */
export function casesOf(area: string): string[] {
  const file = join(__dirname, FOLDER, `${area}.c`);
  return [...readFileSync(file, 'utf8').matchAll(/^ {4}\{"([^"]+)", \w+\},$/gm)].map((match) => match[1]);
}

interface Script {
  readonly server: Guest;
  readonly guest: Guest;
  /** Does what the case asks for. */
  order(what: string): Promise<void>;
}

/** What the case said, without its orders. */
async function play({ server, guest, order }: Script): Promise<string> {
  try {
    for (;;) {
      // It may have ended before its last order is done.
      const next = await guest.line('!').catch(() => guest.ended);
      if (typeof next !== 'string') break;
      await order(next.slice(1));
      guest.process.stdin?.write('done\n');
    }
    const { stdout, stderr, code, signal } = await guest.ended;
    const said = stdout.split('\n').filter((line) => line && !line.startsWith('!'));
    return [...said, ...(stderr ? [stderr] : []), `exit ${code ?? signal}`].join('\n');
  } finally {
    await guest.stop();
    await server.stop();
  }
}

async function tellServer(server: Guest, what: string): Promise<void> {
  server.process.stdin?.write(`${what}\n`);
  await server.line('done');
}

/** `flat`: the second byte of the two addresses. */
export async function playNatively(area: string, name: string, flat: number, port: number): Promise<string> {
  const [program, server] = await Promise.all([buildProgram(area, 'plain', FOLDER), buildServer()]);
  const [self, peer] = [`127.${flat}.1.1`, `127.${flat}.1.2`];
  const other = start([server, peer, peer, String(port)], process.env);
  await other.line('listening');
  const guest = start([program, name, 'native', self, peer, String(port)], process.env);
  // What ends natively by the case's own TCP_USER_TIMEOUT needs nothing from here.
  const order = async (what: string) => {
    if (what !== 'expire') await tellServer(other, what);
  };
  return play({ server: other, guest, order });
}

export async function playUnderShim(peer: Peer, area: string, name: string, way: Way, port: number): Promise<string> {
  const [program, server] = await Promise.all([buildProgram(area, 'plain', FOLDER), buildServer()]);
  for (const host of ['api', 'web']) await peer.tell(`settled ${host}`);
  const other = peer.start('api', [server, '0.0.0.0', '0.0.0.0', String(port)]);
  await other.line('listening');
  if (way === 'ask' || way === 'handoff-ask') await peer.tell('ask api');
  if (way === 'ready') for (const host of ['api', 'web']) await peer.tell(`ready ${host}`);
  const guest = peer.start('web', [program, name, 'shim', HOSTS.web, HOSTS.api, String(port)]);
  const orders: Record<string, () => Promise<unknown>> = {
    hold: async () => {
      await peer.tell('ask api');
      await peer.tell('hold api');
    },
    go: () => peer.tell('go api'),
    refuse: async () => {
      await tellServer(other, 'refuse');
      await peer.tell(`unlist api ${port}`);
      await peer.tell('go api');
    },
    expire: async () => {
      await peer.tell('fail api 110');
      await peer.tell('go api');
    },
  };
  try {
    return await play({ server: other, guest, order: async (what) => void (await orders[what]()) });
  } finally {
    for (const command of ['fail api 0', 'go api', 'auto api', 'unready api', 'unready web', `unlist api ${port}`])
      await peer.tell(command);
    for (let own = port; own < port + 12; own++) await peer.tell(`unlist web ${own}`);
  }
}

export async function buildAll(area: string): Promise<void> {
  await Promise.all([buildProgram(area, 'plain', FOLDER), buildServer()]);
}

function buildServer(): Promise<string> {
  return buildProgram('server', 'plain', FOLDER);
}

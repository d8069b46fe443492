/**
 * Where other programs of this machine meet network `nat`: two Unix sockets, which are files so that `imaginary` finds
 * them from a slot inside, too, as in a shell that it has started. One leads to the seed, which authenticates its peer
 * by TLS. The other takes requests for a slot or a fault from a program that has the token of `platform.json`: one
 * request, one answer, each a line of JSON. A slot is held for as long as the connection is.
 */
import { randomBytes, timingSafeEqual } from 'node:crypto';
import { chmodSync } from 'node:fs';
import { connect, createServer, type Server, type Socket } from 'node:net';
import { join } from 'node:path';
import type { NatInfo } from '../../contract/platform/platform-info';
import { LocalError } from '../errors';
import { networkFile, shortTmp } from '../paths';
import type { Faults } from './faults';
import type { Internet } from './internet';
import { CLIENT } from './nat';
import type { SeedPlace } from './network';
import { type Inside, type SlotInfo, slotInfo } from './slot';

type Request =
  /** Of a host instance: its NAT and its address are the host's. Absent: of a client. */
  | { readonly do: 'slot'; readonly host?: string }
  | { readonly do: 'rtt'; readonly milliseconds: number }
  | { readonly do: 'cut'; readonly on: boolean; readonly host?: string }
  | { readonly do: 'refuse'; readonly on: boolean; readonly host: string }
  | { readonly do: 'forward'; readonly port: number; readonly host: string }
  | { readonly do: 'forget' | 'move' | 'where'; readonly host: string };

type Answer = { readonly value?: unknown } | { readonly error: string };

export interface ControlSocket {
  readonly operators: string;
  /** Where there is a standby. */
  readonly standbyOperators?: string;
  readonly control: string;
  readonly token: string;
  close(): void;
}

/** @param name distinguishes platforms; what is in /tmp under it is removed with the platform, also after a crash */
export async function openControlSocket(
  name: string,
  internet: Internet,
  seeds: readonly SeedPlace[],
): Promise<ControlSocket> {
  const token = randomBytes(24).toString('base64url');
  const sockets = new Set<Socket>();
  const serve = (handle: (socket: Socket) => void) =>
    createServer((socket) => {
      sockets.add(socket);
      socket.on('error', () => socket.destroy()).once('close', () => sockets.delete(socket));
      handle(socket);
    });
  const server = serve((socket) => void answerOne(socket, token, internet));
  const leadTo = (seed: SeedPlace) =>
    serve((socket) => {
      seed.dial().then(
        (far) => {
          far.on('error', () => socket.destroy()).once('close', () => socket.destroy());
          socket.once('close', () => far.destroy());
          socket.pipe(far).pipe(socket);
        },
        () => socket.destroy(), // as one that is refused
      );
    });
  const operators = seeds.map(leadTo);
  const [first, ...standby] = seeds.map((_, i) => join(shortTmp(), `${name}seed${i === 0 ? '' : i}`));
  const control = join(shortTmp(), `${name}network`);
  for (const [i, path] of [first, ...standby].entries()) await listen(operators[i], path);
  await listen(server, control);
  return {
    operators: first,
    ...(standby.length > 0 ? { standbyOperators: standby[0] } : {}),
    control,
    token,
    close: () => {
      for (const one of [server, ...operators]) one.close();
      for (const socket of sockets) socket.destroy();
    },
  };
}

function listen(server: Server, path: string): Promise<void> {
  return new Promise((done, fail) => {
    server.once('error', fail);
    server.listen(path, () => {
      chmodSync(path, 0o600); // whatever the umask is
      done();
    });
  });
}

async function answerOne(socket: Socket, token: string, internet: Internet): Promise<void> {
  const send = (answer: Answer) => void socket.write(`${JSON.stringify(answer)}\n`);
  try {
    const limit = setTimeout(() => socket.destroy(), REQUEST_LIMIT);
    const line = await lineOf(socket).finally(() => clearTimeout(limit));
    const request = JSON.parse(line) as Request & { readonly token?: string };
    if (!isToken(request.token, token)) return void socket.destroy();
    send({
      value: request.do === 'slot' ? await lend(socket, internet, request.host) : await obey(request, internet.faults),
    });
  } catch (error) {
    send({ error: (error as Error).message });
  }
}

function isToken(given: unknown, token: string): boolean {
  const [a, b] = [Buffer.from(String(given)), Buffer.from(token)];
  return a.length === b.length && timingSafeEqual(a, b);
}

async function lend(socket: Socket, internet: Internet, host: string | undefined): Promise<SlotInfo> {
  const slot = await (host === undefined ? internet.takeSlot(CLIENT, 'client') : internet.takeSlot(host, 'host'));
  if (socket.destroyed) slot.close();
  else socket.once('close', slot.close);
  await slot.ready;
  return slotInfo(slot);
}

function obey(request: Exclude<Request, { do: 'slot' }>, faults: Faults): Promise<unknown> {
  switch (request.do) {
    case 'rtt':
      return faults.rtt(request.milliseconds);
    case 'cut':
      return faults.cut(request.on, request.host);
    case 'refuse':
      return faults.refuse(request.host, request.on);
    case 'forward':
      return faults.forward(request.host, request.port);
    default:
      return faults[request.do](request.host);
  }
}

/** A connection without a request is closed after this time. */
const REQUEST_LIMIT = 10_000;
/** A request or an answer is small; a peer that sends more is no program of ours. */
const LONGEST = 4_096;

function lineOf(socket: Socket): Promise<string> {
  return new Promise((done, fail) => {
    let text = '';
    const onData = (chunk: string) => {
      text += chunk;
      const end = text.indexOf('\n');
      if (end < 0 && text.length > LONGEST) socket.destroy();
      if (end >= 0) done(text.slice(0, end));
    };
    socket.setEncoding('utf8').on('data', onData);
    socket.once('close', () => fail(new LocalError('network', 'the network is gone')));
  });
}

/** Sends a request and leaves the connection open. @throws LocalError */
async function call(info: NatInfo, request: Request): Promise<{ readonly value: unknown; readonly socket: Socket }> {
  const socket = connect({ path: info.control });
  socket.on('error', () => undefined); // its end reports it
  socket.write(`${JSON.stringify({ ...request, token: info.token })}\n`);
  const answer = JSON.parse(await lineOf(socket)) as { value?: unknown; error?: string };
  if (answer.error === undefined) return { value: answer.value, socket };
  socket.destroy();
  throw new LocalError('network', answer.error);
}

/** Faults of a running platform's network, for a program that may read its `platform.json`. */
export function faultsOf(info: NatInfo): Faults {
  const once = async <T>(request: Request): Promise<T> => {
    const { value, socket } = await call(info, request);
    socket.destroy();
    return value as T;
  };
  return {
    rtt: (milliseconds) => once({ do: 'rtt', milliseconds }),
    cut: (on, host) => once({ do: 'cut', on, host }),
    forward: (host, port) => once({ do: 'forward', host, port }),
    forget: (host) => once({ do: 'forget', host }),
    refuse: (host, on) => once({ do: 'refuse', host, on }),
    move: (host) => once({ do: 'move', host }),
    where: (host) => once({ do: 'where', host }),
  };
}

export interface LentSlot extends SlotInfo {
  /** Gives the slot back. */
  leave(): void;
}

/** A slot behind a NAT of its own, until `leave` or the end of this process. @param host whose it is; absent: a client's */
export async function takeSlot(info: NatInfo, host?: string): Promise<LentSlot> {
  const { value, socket } = await call(info, { do: 'slot', host });
  socket.unref();
  return { ...(value as SlotInfo), leave: () => void socket.destroy() };
}

/** The command line that runs `command` in a slot. */
export function commandInside({ net, users }: Inside, command: readonly string[]): string[] {
  return [networkFile(), 'enter', net, users ?? '-', ...command];
}

/**
 * The command line that runs `command` as a client's: it is killed when the client is.
 * @param name host name of a namespace of its own; absent: it has the machine's
 */
export function commandAsClient(command: readonly string[], name?: string): string[] {
  return [networkFile(), 'client', name ?? '-', ...command];
}

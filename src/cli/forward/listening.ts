/** The local ports: which ones, and their sockets. */
import { loadNative } from '../../native/addon/load';
import { CliError } from '../output/errors';
import { builtFolders } from '../target/client';
import type { Target } from './target';

/** A local port that leads to a port of a host. */
export interface Listening extends Pick<Target, 'host' | 'port'> {
  /** The listening socket. */
  readonly descriptor: number;
  /** IPv4. */
  readonly address: string;
  readonly local: number;
  /** Why it is not the port of the host, where that was not asked for. */
  readonly note?: string;
}

/** No user but root may bind ports below this one, as Linux has it. */
const FIRST_UNPRIVILEGED = 1_024;
/** For such a port: 80 becomes 8080. */
const UNPRIVILEGED_OFFSET = 8_000;

const TAKEN = ['EADDRINUSE', 'EACCES'];

/**
 * Binds a local port for each target, all of them or none.
 * @param address IPv4
 * @throws CliError when one cannot be bound
 */
export function listenFor(targets: readonly Target[], address: string): Listening[] {
  const native = loadNative(builtFolders().nativeDir);
  const done: Listening[] = [];
  try {
    for (const target of targets) done.push(listenForOne(target, address, native.listen));
    return done;
  } catch (error) {
    for (const { descriptor } of done) native.closeDescriptor(descriptor);
    throw error;
  }
}

export function closeListening(listening: readonly Listening[]): void {
  const native = loadNative(builtFolders().nativeDir);
  for (const { descriptor } of listening) native.closeDescriptor(descriptor);
}

type Listen = (address: string, port: number, datagrams: boolean) => [descriptor: number, port: number];

function listenForOne({ local, host, port }: Target, address: string, listen: Listen): Listening {
  const bind = (wanted: number, note?: string): Listening => {
    const [descriptor, bound] = listen(address, wanted, false);
    return { host, port, address, descriptor, local: bound, ...(note === undefined ? {} : { note }) };
  };
  const privileged = port < FIRST_UNPRIVILEGED;
  const note = privileged ? `${port} is a privileged port` : `${port} is in use here`;
  try {
    if (local !== undefined) return bind(local);
    return privileged ? bind(port + UNPRIVILEGED_OFFSET, note) : bind(port);
  } catch (error) {
    if (local !== undefined || !TAKEN.includes(codeOf(error))) throw explained(error, address, { local, host, port });
  }
  try {
    return bind(0, note);
  } catch (error) {
    throw explained(error, address, { local: 0, host, port });
  }
}

const codeOf = (error: unknown) => (error as NodeJS.ErrnoException).code ?? '';

function explained(error: unknown, address: string, { local, host, port }: Target): CliError {
  const at = `${address}:${local ?? port}`;
  const code = codeOf(error);
  const other = `Choose another local port, as in 'imaginary forward 0:${host}:${port}' (0: any that is free).`;
  if (code === 'EADDRINUSE') return new CliError('port-in-use', `${at} is in use`, { next: other, cause: error });
  if (code === 'EACCES') return new CliError('port-refused', `${at} may not be bound`, { next: other, cause: error });
  if (code === 'EADDRNOTAVAIL') {
    const next = 'Give --bind an address of this machine, or 0.0.0.0 for all of them.';
    return new CliError('no-such-address', `this machine has no address ${address}`, { next, cause: error });
  }
  return new CliError(code || 'listen', `${at} cannot be listened on: ${(error as Error).message}`, { cause: error });
}

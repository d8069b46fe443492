/** `[LOCAL:]HOST:PORT`, as it is typed. */
import { usageError } from '../output/errors';

/** What a local port leads to. */
export interface Target {
  /** 0: any that is free. Absent: the same as `port`, or one that is free. */
  readonly local?: number;
  readonly host: string;
  readonly port: number;
}

const FORM = 'It is [LOCAL:]HOST:PORT, for example db:5432 or 15432:db:5432, with ports from 1 to 65535.';
/** As many as the program `forward` takes. */
const MOST = 64;

/** @throws CliError that names what is wrong */
export function parseTargets(texts: readonly string[]): Target[] {
  if (texts.length > MOST) throw usageError(`${texts.length} forwards are given, at most ${MOST} are allowed`);
  const targets = texts.map(parseTarget);
  for (const [i, { local }] of targets.entries()) {
    const twice = local !== undefined && local !== 0 && targets.findIndex((other) => other.local === local) < i;
    if (twice) throw usageError(`the local port ${local} is given twice`, 'Choose another one for one of them.');
  }
  return targets;
}

export function parseTarget(text: string): Target {
  const parts = text.split(':');
  const [port, host, local] = parts.reverse();
  const wrong = (what: string) => usageError(`'${text}' ${what}`, FORM);
  if (parts.length < 2 || parts.length > 3) throw wrong('is no forward');
  if (!/^[a-z0-9]([a-z0-9.-]*[a-z0-9])?$/i.test(host))
    throw wrong(`has '${host}' where the name of a host is expected`);
  if (!isPort(port, 1)) throw wrong(`has '${port}' where the port of a host is expected`);
  if (local !== undefined && !isPort(local, 0)) {
    throw wrong(`has '${local}' where a local port (0: any that is free) is expected`);
  }
  return { host, port: Number(port), ...(local === undefined ? {} : { local: Number(local) }) };
}

function isPort(text: string, least: number): boolean {
  return /^\d{1,5}$/.test(text) && Number(text) >= least && Number(text) <= 65_535;
}

/**
 * The kind of the NAT between this member and the internet: the seed sees the same port of ours from two of its own.
 */
import { connect } from 'node:net';
import { formatAddress } from '../../../contract/manifest/address';
import type { Endpoint, NatKind, NatReport, Observation } from '../../../contract/peer/peer-messages';

/** First bytes of a probe; answered with the address and port that the seed sees. */
const PROBE = Buffer.from('IMP1');
const PROBE_ANSWER = 6;
const PROBE_LIMIT = 3_000;

/** The probe's NAT mapping lives for as long as the probe does. */
export interface Probe {
  readonly observed: Endpoint;
  close(): void;
}

/**
 * How the seed sees a connection from that port of ours. @throws Error when it does not answer in time
 */
export function probe(dataPort: Endpoint, local: Endpoint, signal?: AbortSignal): Promise<Probe> {
  return new Promise((resolve, reject) => {
    const socket = connect({
      host: dataPort.address,
      port: dataPort.port,
      localAddress: local.address,
      localPort: local.port,
    });
    const limit = setTimeout(() => socket.destroy(new Error(`no answer within ${PROBE_LIMIT} ms`)), PROBE_LIMIT);
    const onAbort = () => socket.destroy(new Error('given up'));
    signal?.addEventListener('abort', onAbort, { once: true });
    const chunks: Buffer[] = [];
    socket.on('connect', () => socket.write(PROBE));
    socket.on('data', (chunk: Buffer) => {
      chunks.push(chunk);
      const answer = Buffer.concat(chunks);
      if (answer.length < PROBE_ANSWER) return;
      clearTimeout(limit);
      const observed = { address: formatAddress(answer.readUInt32BE(0)), port: answer.readUInt16BE(4) };
      resolve({ observed, close: () => socket.resetAndDestroy() });
    });
    socket.on('error', reject);
    socket.on('close', () => {
      clearTimeout(limit);
      signal?.removeEventListener('abort', onAbort);
      reject(new Error('the seed closed the connection'));
    });
    if (signal?.aborted) onAbort();
  });
}

/** The kind of NAT, by how two ports of the seed see the same port of ours: `one-to-one` shows otherwise (`knock.ts`). */
export function natKind({ local, observed }: Pick<Observation, 'local' | 'observed'>, other: Endpoint): NatKind {
  if (observed.port !== other.port || observed.address !== other.address) return 'symmetric';
  if (observed.port !== local.port) return 'endpoint-independent';
  return observed.address === local.address ? 'none' : 'port-preserving';
}

/** What its connection to the seed tells of a member. */
export function unclassified({ observed, local, ports }: Observation): NatReport {
  return { kind: 'unknown', reflexiveAddress: observed.address, localAddress: local.address, ports };
}

/** Never fails: a NAT that cannot be classified is `unknown`. */
export async function classifyNat(seen: Observation, signal?: AbortSignal): Promise<NatReport> {
  try {
    const second = await probe(seen.dataPort, seen.local, signal);
    second.close();
    return { ...unclassified(seen), kind: natKind(seen, second.observed) };
  } catch {
    return unclassified(seen);
  }
}

/** Whether others see a member's port as the same port, so that it can be named without a probe. */
export function isPredictable({ kind }: NatReport): boolean {
  return kind === 'port-preserving' || isReached({ kind });
}

/** Whether everybody reaches a member, as far as is known: something in between may still let in only some. */
export function isReached({ kind }: Pick<NatReport, 'kind'>): boolean {
  return kind === 'none' || kind === 'one-to-one';
}

/** Why a member cannot be punched to; undefined: as far as we know it can. */
export function unpunchable({ kind }: NatReport): string | undefined {
  return kind === 'symmetric' ? 'its NAT maps ports differently for every destination' : undefined;
}

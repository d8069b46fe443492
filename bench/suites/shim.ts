import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { FILES_MAGIC } from '../../src/contract/abi/shim';
import { buildProgram, type Guest, HOSTS, startEcho, startPeer } from '../../test/shim/harness';
import { absoluteRow, median, type Row, ratioRow, type Suite } from '../lib/rows';

const ROUNDS = 9;
const FLAT = 220;
const CALL_BUDGET_NS = 300;
const CONNECT_BUDGET = 1.05;

/** The connects of test/shim/programs/cost.c, held by ratio; all its other calls are not the shim's business. */
const CONNECTS: Record<string, number | null> = {
  'connect refused': null,
  'connect and accept': CONNECT_BUDGET,
  'connect to host': CONNECT_BUDGET,
  'connect to host, first byte': CONNECT_BUDGET,
};
/** Calls that the shim answers itself: for information. */
const OURS = /^get(peer|sock)name host$/;

/** As a host has them. */
const REMAPS = ['/etc/hosts', '/etc/hostname', '/proc/sys/kernel/hostname', '/etc/app', '/opt/app/conf'];

type Costs = Map<string, number>;

/** Runs the program to its end; nanoseconds by call. */
async function costs(guest: Guest): Promise<Costs> {
  const { code, stdout, stderr } = await guest.ended;
  if (code !== 0) throw new Error(`cost: ${stderr}`);
  const rows = stdout.trim().split('\n');
  return new Map(rows.map((row) => [row.slice(0, row.lastIndexOf(' ')), Number(row.slice(row.lastIndexOf(' ') + 1))]));
}

function rowOf(name: string, value: number, baseline: number): Row {
  if (name in CONNECTS) return ratioRow(name, 'ns', value, baseline, CONNECTS[name]);
  if (OURS.test(name)) return ratioRow(name, 'ns', value, baseline, null);
  return absoluteRow(`${name}, more than native`, 'ns', value - baseline, CALL_BUDGET_NS);
}

/** What calls cost with the shim preloaded, against the same calls without; its supervisor is the tests' peer. */
export const shim: Suite = {
  name: 'shim',
  title: 'Calls under the shim vs native',
  async run(progress) {
    const peer = await startPeer(FLAT);
    const files = [FILES_MAGIC, ...REMAPS.flatMap((file) => [file, '/nowhere'])];
    writeFileSync(join(peer.folder, 'web', 'files'), files.map((text) => `${text}\0`).join(''));
    try {
      const program = await buildProgram('cost');
      const ours = await startEcho(peer);
      const nativeAddress = `127.${FLAT + 2}.1.2`;
      const native = peer.native([await buildProgram('echo'), nativeAddress, ours.port]);
      await native.line('listening');
      const rounds: { native: Costs; shim: Costs }[] = [];
      for (let round = 1; round <= ROUNDS; round++) {
        progress(`round ${round} of ${ROUNDS}`);
        rounds.push({
          native: await costs(peer.native([program, nativeAddress, ours.port])),
          shim: await costs(peer.start('web', [program, HOSTS.api, ours.port])),
        });
      }
      const at = (name: string, side: 'native' | 'shim') =>
        median(rounds.map((round) => round[side].get(name) ?? Number.NaN));
      // `lookup` is natively of a number: the suite `lookup` compares names.
      const names = [...rounds[0].native.keys()].filter((name) => name !== 'lookup');
      return names.map((name) => rowOf(name, at(name, 'shim'), at(name, 'native')));
    } finally {
      await peer.close();
    }
  },
};

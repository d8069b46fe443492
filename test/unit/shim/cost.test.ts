/** What a call that is not the shim's costs with it: at most 300 ns more. A busy machine gets more than one try. */
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { FILES_MAGIC } from '../../../src/runtime/protocol/shim';
import { buildProgram, type Peer, start, startPeer } from './harness';

jest.setTimeout(120_000);

const BUDGET_NS = 300;
const TRIES = 5;

let peer: Peer;

beforeAll(async () => {
  peer = await startPeer(244, ['plain']);
  // As a host has them.
  const remaps = ['/etc/hosts', '/etc/hostname', '/proc/sys/kernel/hostname', '/etc/app', '/opt/app/conf'];
  const texts = [FILES_MAGIC, ...remaps.flatMap((path) => [path, '/nowhere'])];
  writeFileSync(join(peer.folder, 'web', 'files'), texts.map((text) => `${text}\0`).join(''));
});
afterAll(() => peer?.close());

function parse(text: string): Map<string, number> {
  const rows = text.trim().split('\n');
  return new Map(rows.map((row) => [row.slice(0, row.lastIndexOf(' ')), Number(row.slice(row.lastIndexOf(' ') + 1))]));
}

test('a call that is not ours costs next to nothing', async () => {
  const program = await buildProgram('cost');
  let late: string[] = [];
  // `connect refused` and `connect and accept` take so long that their noise is more than the budget.
  const long = /refused|accept/;
  for (let attempt = 0; attempt < TRIES; attempt++) {
    const native = parse((await start([program], process.env).ended).stdout);
    const ours = parse((await peer.run('web', [program])).stdout);
    expect([...ours.keys()]).toEqual([...native.keys()]);
    late = [...ours]
      .filter(([name, ns]) => !long.test(name) && ns - (native.get(name) ?? 0) > BUDGET_NS)
      .map(([name, ns]) => `${name}: ${ns} ns, natively ${native.get(name)} ns`);
    if (late.length === 0) return;
  }
  expect(late).toEqual([]);
});

import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { bootCluster } from '../../test/support/cluster';
import { build, inCluster, native } from '../lib/programs';
import { median, ratioRow, type Suite } from '../lib/rows';

const ROUNDS = 7;
const LOOKUPS = 20_000;

/** A name that /etc/hosts answers. */
function nameInHosts(): string {
  const line = readFileSync('/etc/hosts', 'utf8')
    .split('\n')
    .map((text) => text.replace(/#.*/, '').trim().split(/\s+/))
    .find(([address, name]) => name && /^\d+\.\d+\.\d+\.\d+$/.test(address));
  if (!line) throw new Error('/etc/hosts names no IPv4 address, so there is no baseline for a lookup');
  return line[1];
}

/** getaddrinfo of a cluster name against getaddrinfo of a name in /etc/hosts. */
export const lookup: Suite = {
  name: 'lookup',
  title: 'Name lookup, /etc/hosts vs cluster name',
  async run(progress) {
    const folder = mkdtempSync(join(tmpdir(), 'imaginary-bench-'));
    const program = build('lookup', folder);
    const hosts = Array.from({ length: 100 }, (_, i) => ({
      name: `worker-${i}`,
      address: `100.64.7.${i}`,
      command: ['true'],
    }));
    const cluster = await bootCluster(hosts, { upArguments: ['--network', 'flat'] });
    try {
      const name = nameInHosts();
      const pairs = [];
      for (let round = 1; round <= ROUNDS; round++) {
        progress(`round ${round} of ${ROUNDS}`);
        pairs.push({
          baseline: native([program, name, String(LOOKUPS)]).median,
          value: (await inCluster(cluster, [program, 'worker-57', String(LOOKUPS)])).median,
        });
      }
      const value = median(pairs.map((p) => p.value));
      const baseline = median(pairs.map((p) => p.baseline));
      return [ratioRow('getaddrinfo in a cluster of 100 hosts, median', 'µs', value, baseline, 1)];
    } finally {
      await cluster.dispose();
      rmSync(folder, { recursive: true, force: true });
    }
  },
};

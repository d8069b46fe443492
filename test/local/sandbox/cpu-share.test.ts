/** A sandbox with Lambda's share of a processor uses no more than that. */
import { cgroupPrefix, findCgroups } from '../../../src/local/sandbox/cgroup';
import { type Booted, bootFunctions, plain } from '../boot';

const lacking = findCgroups(cgroupPrefix(__filename), true).missing.find((text) => text.startsWith('no cpu cgroup'));

let booted: Booted;
beforeAll(async () => {
  booted = await bootFunctions([plain({ name: 'small', memorySize: 177 })], { cpuShare: true });
}, 30_000);
afterAll(() => booted?.dispose());

(lacking === undefined ? test : test.skip)(
  `a tenth of a processor for a tenth of 1,769 MB${lacking === undefined ? '' : `: ${lacking}`}`,
  async () => {
    const script = [
      'import time',
      'end = time.monotonic() + 1.5',
      'while time.monotonic() < end: pass',
      'print(time.process_time() / 1.5)',
    ].join('\n');
    const used = Number(await booted.call({ do: 'run', command: ['/usr/bin/python3', '-c', script] }, 'small'));
    // Less on a busy machine, and a little more where the first period had begun.
    expect(used).toBeGreaterThan(0);
    expect(used).toBeLessThan(0.2);
  },
);

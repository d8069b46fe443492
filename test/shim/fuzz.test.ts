/**
 * Everything that the shim and the addon parse, fuzzed for a few seconds, always from the same seeds: `npm run fuzz`
 * goes on from there. Inputs that once broke something are in test/shim/fuzz/regressions.
 */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fuzz, hasFuzzer, TARGETS } from './fuzz';

jest.setTimeout(180_000);

const withFuzzer = hasFuzzer ? describe : describe.skip;

withFuzzer('no bytes break', () => {
  test.each(Object.entries(TARGETS))('%s', async (target, { runs }) => {
    const keep = mkdtempSync(join(tmpdir(), 'imaginary-fuzz-'));
    const { code, said } = await fuzz(target, [`-runs=${runs}`], keep);
    // What broke it stays where the message says.
    if (code !== 0) throw new Error(`the fuzzer ended with ${code}; the input is in ${keep}:\n${said}`);
    rmSync(keep, { recursive: true });
  });
});

/**
 * Fuzzes one target, or one after the other, for longer than the tests do:
 *
 *   npm run fuzz -- TARGET SECONDS     TARGET: a file of test/shim/fuzz, or `all`
 *
 * Inputs that break something are kept in test-reports/fuzz. Copy them to test/shim/fuzz/regressions/TARGET when it is
 * mended: the tests run them.
 */
import * as path from 'node:path';
import { fuzz, hasFuzzer, TARGETS } from '../test/shim/fuzz';

async function main(): Promise<void> {
  const [target, seconds] = process.argv.slice(2);
  const names = Object.keys(TARGETS);
  const wanted = target === 'all' ? names : [target];
  if (!wanted.every((name) => names.includes(name)) || !(Number(seconds) > 0)) {
    throw new Error(
      `usage: npm run fuzz -- TARGET SECONDS; not '${target} ${seconds}'. TARGET: ${names.join(', ')} or all`,
    );
  }
  if (!hasFuzzer)
    throw new Error('clang and its fuzzer are missing: scripts/guests.sh installs clang and libclang-rt-dev');
  const keep = path.resolve(__dirname, '../test-reports/fuzz');
  for (const name of wanted) {
    const { code, said } = await fuzz(name, [`-max_total_time=${seconds}`, '-print_final_stats=1'], keep);
    console.log(
      `${name}: ${code === 0 ? 'nothing found' : `ended with ${code}`}\n${said
        .split('\n')
        .slice(code === 0 ? -9 : -60)
        .join('\n')}`,
    );
    if (code !== 0) process.exitCode = 1;
  }
}

main().catch((error: Error) => {
  console.error(error.message);
  process.exitCode = 2;
});

/** The connector and its reactor without Node.js: programs with thread checks, and under valgrind. */
import { has, hasAddressSanitizer } from '../shim/harness';
import { build, PROGRAMS, passes } from './connector-programs';

jest.setTimeout(120_000);

describe.each(PROGRAMS)('%s', (main) => {
  (hasAddressSanitizer ? test : test.skip)('under ThreadSanitizer', () => {
    // Its shadow memory needs the addresses where they were when it was written.
    passes('setarch', '-R', build(main, 'thread', ['-fsanitize=thread']));
  });

  (has('valgrind') && has('gcc') ? test : test.skip)('under valgrind', () => {
    passes('valgrind', '-q', '--error-exitcode=3', '--leak-check=full', build(main, 'plain', []));
  });
});

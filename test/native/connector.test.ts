/** The connector and its reactor without Node.js: programs with memory checks. */
import { hasAddressSanitizer } from '../shim/harness';
import { build, PROGRAMS, passes } from './connector-programs';

jest.setTimeout(120_000);

(hasAddressSanitizer ? test : test.skip).each(PROGRAMS)('%s under AddressSanitizer and UBSan', (main) => {
  passes(build(main, 'address', ['-fsanitize=address,undefined', '-fno-sanitize-recover']));
});

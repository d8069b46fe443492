import { readFileSync } from 'node:fs';
import { GENERATED, generate } from '../../../scripts/abi';

jest.setTimeout(120_000);

test('TypeScript has the offsets, sizes and constants of the C headers', () => {
  // Otherwise: npx projen abi
  expect(readFileSync(GENERATED, 'utf8')).toBe(generate());
});

import { readFileSync } from 'node:fs';
import { generate, LIFECYCLE } from '../../scripts/lifecycle';

jest.setTimeout(60_000);

test('docs/lifecycle.md has what the model finds (else: npx projen lifecycle)', () => {
  const text = readFileSync(LIFECYCLE, 'utf8');
  expect(text).toBe(generate(text));
});

test('a file without its marks is not overwritten', () => {
  expect(() => generate('no marks')).toThrow("has no part between '<!-- begin: npx projen lifecycle -->'");
});

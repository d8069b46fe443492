/** The million of them is part of `npm run test:conformance`. */
import { manyConnects } from './connects';

jest.setTimeout(120_000);

test('20,000 connects of every kind leave nothing behind', async () => {
  expect(await manyConnects(222, 20_000)).toMatch(/^16\d{3} connected, .* refused, .* given up\nok\n$/);
});

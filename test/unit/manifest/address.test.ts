import { formatAddress, parseAddress, parseCidr } from '../../../src/manifest';

test('an address survives parsing and formatting', () => {
  expect(formatAddress(parseAddress('100.64.255.1')!)).toBe('100.64.255.1');
});

test('a block with host bits set is not a block', () => {
  expect(parseCidr('100.64.0.1/16')).toBeUndefined();
});

import { clientRange, formatAddress, hostRange, inCidr, parseAddress, parseCidr } from '../../../src/contract/manifest';

test('an address survives parsing and formatting', () => {
  for (const text of ['0.0.0.0', '100.64.255.1', '255.255.255.255']) {
    expect(formatAddress(parseAddress(text)!)).toBe(text);
  }
});

test.each(['', '1.2.3', '1.2.3.4.5', '256.1.1.1', '1.2.3.x', ' 1.2.3.4', '-1.2.3.4', '1..2.3'])(
  '%j is no address',
  (text) => {
    expect(parseAddress(text)).toBeUndefined();
  },
);

test.each([
  '100.64.0.1/16',
  '10.0.0.0',
  '10.0.0.0/',
  '10.0.0.0/33',
  '10.0.0.0/16/16',
  '/16',
  '10.0.0/8',
  '10.0.0.0/1 ',
])('%j is no block', (text) => {
  expect(parseCidr(text)).toBeUndefined();
});

test.each([
  ['100.64.0.0/16', '100.64.0.2', '100.64.254.255', '100.64.255.0', '100.64.255.254'],
  ['10.1.2.0/24', '10.1.2.2', '10.1.2.239', '10.1.2.240', '10.1.2.254'],
  ['10.0.0.0/28', '10.0.0.2', '10.0.0.11', '10.0.0.12', '10.0.0.14'],
])('the parts of %s do not overlap', (cidr, ...bounds) => {
  const block = parseCidr(cidr)!;
  const hosts = hostRange(block);
  const clients = clientRange(block);
  expect([hosts.first, hosts.last, clients.first, clients.last].map(formatAddress)).toEqual(bounds);
  expect(clients.first).toBe(hosts.last + 1);
  expect(inCidr(block, clients.last + 1)).toBe(true);
  expect(inCidr(block, clients.last + 2)).toBe(false);
});

test('an address is what the pattern says, of all short texts of its characters', () => {
  const pattern = /^(\d{1,3})\.(\d{1,3})\.(\d{1,3})\.(\d{1,3})$/;
  const expected = (text: string) => {
    const parts = pattern.exec(text)?.slice(1).map(Number);
    if (!parts || parts.some((part) => part > 255)) return undefined;
    return parts.reduce((sum, part) => sum * 256 + part, 0);
  };
  const parts = ['', '0', '7', '10', '007', '255', '256', '999', '0255', '-1', '+1', ' 1', '1 ', 'a', '\u0661', '1e1'];
  for (const a of parts)
    for (const b of parts)
      for (const c of parts) {
        const texts = [
          `${a}.${b}.${c}.1`,
          `1.${a}.${b}.${c}`,
          `${a}.${b}.${c}`,
          `${a}.${b}.${c}.1.`,
          `.1.${a}.${b}.${c}`,
        ];
        for (const text of texts) expect([text, parseAddress(text)]).toEqual([text, expected(text)]);
      }
  expect(parseAddress('255.255.255.255')).toBe(2 ** 32 - 1);
});

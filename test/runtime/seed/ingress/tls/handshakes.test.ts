import { Handshakes } from '../../../../../src/runtime/seed/ingress/tls/handshakes';

test('handshakes at one time are bounded, of each client and of all', () => {
  const handshakes = new Handshakes(2, 3);
  expect([handshakes.begin('a'), handshakes.begin('a')]).toEqual([undefined, undefined]);
  expect(handshakes.begin('a')).toBe('too many TLS handshakes of this client');
  expect(handshakes.begin('b')).toBeUndefined();
  expect(handshakes.begin('c')).toBe('too many TLS handshakes');
  handshakes.end('a');
  expect(handshakes.begin('c')).toBeUndefined();
  for (const client of ['a', 'b', 'c']) handshakes.end(client);
  expect([handshakes.begin('a'), handshakes.begin('a'), handshakes.begin('b')]).toEqual([
    undefined,
    undefined,
    undefined,
  ]);
});

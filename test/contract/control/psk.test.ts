import {
  ClusterKeyError,
  claimOf,
  deriveSecret,
  hostIdentity,
  joinSecret,
  keyId,
  parseClusterKeys,
  parseIdentity,
  parseSecret,
} from '../../../src/contract/control/psk';

test('identities survive being written and read', () => {
  expect(parseIdentity(hostIdentity('worker-3', 1_795_232_734_752))).toEqual({
    kind: 'host',
    host: 'worker-3',
    epoch: 1_795_232_734_752,
  });
  expect(parseIdentity('client')).toEqual({ kind: 'client' });
  expect(parseIdentity('operator')).toEqual({ kind: 'operator' });
});

test.each([
  '',
  'root',
  'host/',
  'host/api',
  'host/api/',
  'host/api/0',
  'host/api/01',
  'host/api/-1',
  'host/api/1/2',
  'host/a b/1',
  'host/api/9999999999999999',
  'host/../1',
  'client ',
  'client@',
  'client@1234567',
  'client@1234567G',
  'host/api/7@12345678@12345678',
])('%j is nobody', (text) => {
  expect(parseIdentity(text)).toBeUndefined();
});

test('every identity of every cluster has a secret of its own', () => {
  const key = parseClusterKeys('0123456789abcdef')[0];
  const secrets = ['client', 'operator', hostIdentity('a', 1), hostIdentity('a', 2), hostIdentity('b', 1)].flatMap(
    (i) => [deriveSecret(key, 'one', i).toString('hex'), deriveSecret(key, 'two', i).toString('hex')],
  );
  expect(new Set(secrets).size).toBe(10);
  expect(secrets.every((s) => s.length === 64)).toBe(true);
  // Both sides of a rolling update derive the same: this value must not change.
  expect(deriveSecret(key, 'one', 'client').toString('hex')).toMatchInlineSnapshot(
    `"99e5f1a95d85c2f24d501b60de603ab5e0e59f8065910eb63bbe23b6290be1fa"`,
  );
});

test('the key is its text, without the line end that editors add', () => {
  const [key] = parseClusterKeys('0123456789abcdef');
  expect(parseClusterKeys('  0123456789abcdef\n')).toEqual([key]);
  expect(parseClusterKeys('fedcba9876543210\r\n\n 0123456789abcdef\n')).toEqual([Buffer.from('fedcba9876543210'), key]);
});

test.each([
  ['short', 5],
  ['0123456789abcdef\nshort', 5],
  ['', 0],
  ['\n \n', 0],
])('%j is no cluster key', (text, length) => {
  expect(() => parseClusterKeys(text)).toThrow(new ClusterKeyError(length).message);
});

test('a secret says which key it is made from, and so does who claims an identity with it', () => {
  const [newest, older] = parseClusterKeys('fedcba9876543210\n0123456789abcdef');
  expect(keyId(newest)).not.toBe(keyId(older));
  const identity = hostIdentity('api', 7);
  const { key, psk } = parseSecret(joinSecret(older, 'one', identity));
  expect(key).toBe(keyId(older));
  expect(psk).toEqual(deriveSecret(older, 'one', identity));
  expect(parseIdentity(claimOf(identity, key))).toEqual({ kind: 'host', host: 'api', epoch: 7, key });
  expect(parseIdentity(claimOf('client', key))).toEqual({ kind: 'client', key });
  expect(claimOf('client', undefined)).toBe('client');
});

import { checkPlatformInfo } from '../../../src/contract/platform/platform-info';
import { PLATFORM_INFO } from '../../support/platform-info';

const nat = {
  ...{ kind: 'nat', range: '198.18.0.0/15', nats: { web: 'symmetric' } },
  ...{ operators: '/s/operators.sock', standbyOperators: '/s/standby.sock', control: '/s/control.sock', token: 't' },
};

test('what a platform writes is read whole', () => {
  for (const info of [PLATFORM_INFO, { ...PLATFORM_INFO, network: nat }, { ...PLATFORM_INFO, ended: undefined }]) {
    expect(checkPlatformInfo(JSON.parse(JSON.stringify(info)))).toEqual(info);
  }
});

test.each([
  ['of another version', { version: 2 }],
  ['with a field more', { surplus: 1 }],
  ['without the seed', { seed: undefined }],
  ['with a network of no kind', { network: { kind: 'none' } }],
  ['with a field more in its network', { network: { ...nat, surplus: 1 } }],
])('one %s is none', (_what, change) => {
  expect(checkPlatformInfo({ ...PLATFORM_INFO, ...change })).toBeUndefined();
});

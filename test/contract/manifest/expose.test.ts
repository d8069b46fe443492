/** Exposed UDP ports of the manifest: what is filled in, and what cannot be. */
import { parseManifest } from '../../../src/contract/manifest';

const manifestOf = (...exposes: ReadonlyArray<Record<string, unknown>>) =>
  parseManifest({
    version: 1,
    cluster: { name: 'shop' },
    hosts: ['web', 'api'].map((name) => ({ name, command: ['x'] })),
    exposes: exposes.map((one) => ({ host: 'web', port: 7_777, protocol: 'udp', ...one })),
  });

test('defaults', () => {
  expect(manifestOf({}).exposes).toMatchObject([{ maxConnectionsPerClient: 32, flowTimeout: 60_000 }]);
  expect(manifestOf({ protocol: 'tcp' }).exposes).toMatchObject([{ maxConnectionsPerClient: 256 }]);
  expect(manifestOf({ maxConnectionsPerClient: 256 }).exposes).toMatchObject([{ maxConnectionsPerClient: 256 }]);
});

test('the same port of TCP is another one, and so are the seed’s own', () => {
  expect(manifestOf({}, { protocol: 'tcp' }).exposes).toHaveLength(2);
  expect(manifestOf({ port: 9_410 }, { port: 9_411 }).exposes).toHaveLength(2);
});

test.each<[string, ReadonlyArray<Record<string, unknown>>, string]>([
  ['another protocol', [{ protocol: 'sctp' }], `exposes.0.protocol: is "sctp"; allowed: 'tcp' or 'udp'`],
  ['server names', [{ serverNames: ['a.test'] }], "exposes.0.serverNames: are for protocol 'tcp' only; allowed: none"],
  ['the PROXY protocol', [{ proxyProtocol: true }], "exposes.0.proxyProtocol: is for protocol 'tcp' only"],
  ['a short time-out', [{ flowTimeout: 999 }], 'exposes.0.flowTimeout: is 999; allowed'],
  ['a long time-out', [{ flowTimeout: 3_600_001 }], 'exposes.0.flowTimeout: is 3600001; allowed'],
  ['two of one port', [{}, { host: 'api' }], "as exposes.0 of host 'web'; allowed: another port"],
])('%s is refused', (_, exposes, message) => {
  expect(() => manifestOf(...exposes)).toThrow(message);
});

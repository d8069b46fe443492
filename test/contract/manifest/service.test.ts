import { ManifestError, parseManifest } from '../../../src/contract/manifest';

const api = { name: 'api', command: ['node', 'server.js'] };
const vm = { name: 'vm', kind: 'instance' };
const web = { name: 'web', hosts: ['api'], instances: ['vm'] };
const manifest = { version: 1, cluster: { name: 'shop' }, hosts: [api, vm], services: [web] };
const withService = (change: object) => ({ ...manifest, services: [{ ...web, ...change }] });

function problems(input: unknown): readonly string[] {
  try {
    parseManifest(input);
  } catch (error) {
    if (error instanceof ManifestError) return error.problems;
    throw error;
  }
  return [];
}

test('its address follows from its name, and is no host’s; defaults are filled in; parsed once, it is accepted', () => {
  const parsed = parseManifest(manifest);
  expect(parsed.services).toEqual([
    { ...web, address: expect.stringMatching(/^100\.64\./), maxConnections: 100, sticky: false },
  ]);
  expect(parsed.hosts.map(({ address }) => address)).not.toContain(parsed.services[0].address);
  expect(parseManifest(parsed)).toEqual(parsed);
  expect(parseManifest({ ...manifest, services: undefined }).services).toEqual([]);
});

test('a service moves no host', () => {
  const without = parseManifest({ ...manifest, services: [] });
  expect(parseManifest(manifest).hosts).toEqual(without.hosts);
});

test.each([
  ['connectsTo', { connectsTo: ['web'] }, 'connectsTo.0', 'the name of another host'],
  ['startWith', { startWith: ['web'] }, 'startWith.0', 'the name of a host'],
  ['startBarrier', { startBarrier: { hosts: ['web'] } }, 'startBarrier.hosts.0', 'the name of another host'],
])('%s takes hosts, and no service', (_, change, at, allowed) => {
  expect(problems({ ...manifest, hosts: [{ ...api, ...change }, vm] })).toEqual([
    `hosts.0.${at}: is "web" on host 'api', which is a service; allowed: ${allowed}`,
  ]);
});

const COUNT = 'a whole number of connections from 1 to 100000';
test.each<[string, unknown, string]>([
  ['no array', { ...manifest, services: {} }, 'services: is {}; allowed: an array of services'],
  [
    'no host of that name',
    withService({ hosts: ['db'] }),
    'services.0.hosts.0: is "db" on service \'web\'; allowed: the name of a host',
  ],
  [
    'a service',
    withService({ hosts: ['web'] }),
    'services.0.hosts.0: is "web" on service \'web\', which is a service; allowed: the name of a host',
  ],
  [
    'an instance among functions',
    withService({ hosts: ['vm'], instances: [] }),
    "services.0.hosts.0: is \"vm\" on service 'web', of kind 'instance'; allowed: a host of kind 'function'",
  ],
  [
    'a function among instances',
    withService({ hosts: [], instances: ['api'] }),
    "services.0.instances.0: is \"api\" on service 'web', of kind 'function'; allowed: a host of kind 'instance'",
  ],
  [
    'a host twice',
    withService({ hosts: ['api', 'api'] }),
    'services.0.hosts.1: is "api" on service \'web\' twice; allowed: each host once',
  ],
  [
    'no members',
    withService({ hosts: [], instances: [] }),
    "services.0: service 'web' has no members; required: a host in 'hosts' or 'instances'",
  ],
  [
    'the name of a host',
    withService({ name: 'api' }),
    "services.0: the name 'api' is taken by hosts.0 ('api'); every name and alias must be unique",
  ],
  ['no connections', withService({ maxConnections: 0 }), `services.0.maxConnections: is 0; allowed: ${COUNT}`],
  ['half a connection', withService({ maxConnections: 1.5 }), `services.0.maxConnections: is 1.5; allowed: ${COUNT}`],
  [
    'no CPU',
    withService({ maxCpu: 0 }),
    'services.0.maxCpu: is 0; allowed: a whole number of percent of one CPU from 1 to 10000',
  ],
  ['sticky by a word', withService({ sticky: 'yes' }), 'services.0.sticky: is "yes"; allowed: true or false'],
  ['an unknown field', withService({ host: 'api' }), 'services.0.host: this field is unknown'],
  [
    'a reserved name',
    withService({ name: 'seed' }),
    "services.0.name: is \"seed\"; allowed: a name that the cluster does not reserve ('node-ID', 'localhost', 'seed')",
  ],
  [
    'an address outside the block',
    withService({ address: '10.0.0.1' }),
    'services.0.address: is "10.0.0.1" on service \'web\'; allowed: 100.64.0.2 to 100.64.254.255 (cidr 100.64.0.0/16)',
  ],
  [
    'a service where a host is needed',
    { ...manifest, hosts: [{ ...api, startWith: ['web'] }, vm] },
    'hosts.0.startWith.0: is "web" on host \'api\', which is a service; allowed: the name of a host',
  ],
])('refused: %s', (_, input, problem) => {
  expect(problems(input)).toEqual([problem]);
});

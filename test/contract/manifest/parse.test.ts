import { ManifestError, parseManifest } from '../../../src/contract/manifest';
import { ENTRY_DEFAULTS, LIMIT_DEFAULTS } from '../../support/defaults';

const host = { name: 'api', address: '100.64.1.1', functionName: 'shop-api', command: ['node', 'server.js'] };
const manifest = { version: 1, cluster: { name: 'shop' }, hosts: [host] };
const withHost = (change: object) => ({ ...manifest, hosts: [{ ...host, ...change }] });

/** The problems that a manifest is refused with. */
function problems(input: unknown): readonly string[] {
  try {
    parseManifest(input);
  } catch (error) {
    if (error instanceof ManifestError) return error.problems;
    throw error;
  }
  return [];
}

test('defaults are filled in, from an object and from text', () => {
  const parsed = parseManifest(manifest);
  expect(parsed).toEqual({
    version: 1,
    cluster: { name: 'shop', cidr: '100.64.0.0/16', limits: LIMIT_DEFAULTS, prefetch: true },
    seed: { port: 9410, dataPort: 9411 },
    hosts: [{ ...host, ...ENTRY_DEFAULTS }],
    services: [],
  });
  expect(parseManifest(JSON.stringify(manifest))).toEqual(parsed);
  // Read unchanged: what was parsed once is accepted as it is.
  expect(parseManifest(parsed)).toEqual(parsed);
});

test('a cluster may have no hosts, and a host instance needs neither function nor command', () => {
  expect(problems({ ...manifest, hosts: [] })).toEqual([]);
  expect(problems({ ...manifest, hosts: [{ name: 'vm', address: '100.64.1.1', kind: 'instance' }] })).toEqual([]);
});

const MS = 'a whole number of milliseconds';
const NAME = '1-63 lower-case letters, digits or hyphens, starting and ending with a letter or digit';
const PATH_RULE =
  "an absolute path to something beneath '/', of at most 1,024 characters, without '.', '..', '//' or a slash at its end";
const MANY_FILES = Object.fromEntries(Array.from({ length: 65 }, (_, i) => [`/etc/${i}`, '/x']));
const CIDR = "an IPv4 block from /16 to /28 with no host bits set, like '100.64.0.0/16'";

test.each<[string, unknown, string]>([
  ['null', null, 'manifest: is null; allowed: an object'],
  ['no version', { cluster: { name: 'shop' }, hosts: [] }, 'version: is missing; required'],
  ['another version', { ...manifest, version: 2 }, 'version: is 2; allowed: 1'],
  ['an unknown field', { ...manifest, host: [] }, 'host: this field is unknown'],
  ['hosts by name', { ...manifest, hosts: {} }, 'hosts: is {}; allowed: an array of hosts'],
  ['no host', { ...manifest, hosts: [null] }, 'hosts.0: is null; allowed: an object'],
  ['an unknown field of a host', withHost({ cmd: [] }), "hosts.0.cmd: this field is unknown on host 'api'"],
  ['a name with capitals', withHost({ name: 'API' }), `hosts.0.name: is "API"; allowed: ${NAME}`],
  [
    'a name that is too long',
    withHost({ name: 'a'.repeat(64) }),
    `hosts.0.name: is "${'a'.repeat(64)}"; allowed: ${NAME}`,
  ],
  ['no name', withHost({ name: undefined }), `hosts.0.name: is missing; allowed: ${NAME}`],
  [
    'a reserved name',
    withHost({ name: 'node-7' }),
    `hosts.0.name: is "node-7"; allowed: a name that the cluster does not reserve ('node-ID', 'localhost', 'seed')`,
  ],
  [
    'an address that is none',
    withHost({ address: '300.1.1.1' }),
    `hosts.0.address: is "300.1.1.1" on host 'api'; allowed: an IPv4 address inside the cluster's cidr`,
  ],
  [
    'an address outside the block',
    withHost({ address: '10.0.0.1' }),
    `hosts.0.address: is "10.0.0.1" on host 'api'; allowed: 100.64.0.2 to 100.64.254.255 (cidr 100.64.0.0/16)`,
  ],
  [
    'an address of the client range',
    withHost({ address: '100.64.255.9' }),
    `hosts.0.address: is "100.64.255.9" on host 'api'; allowed: 100.64.0.2 to 100.64.254.255 (cidr 100.64.0.0/16)`,
  ],
  [
    'too little memory',
    withHost({ memorySize: 64 }),
    "hosts.0.memorySize: is 64 on host 'api'; allowed: a whole number of MB from 128 to 10240",
  ],
  [
    'memory as text',
    withHost({ memorySize: '256' }),
    `hosts.0.memorySize: is "256" on host 'api'; allowed: a whole number of MB from 128 to 10240`,
  ],
  [
    'a timeout that is too long',
    withHost({ timeout: 1_800_001 }),
    `hosts.0.timeout: is 1800001 on host 'api'; allowed: ${MS} from 1000 to 1800000`,
  ],
  [
    'a timeout that is no number',
    withHost({ timeout: Number.NaN }),
    `hosts.0.timeout: is NaN on host 'api'; allowed: ${MS} from 1000 to 1800000`,
  ],
  [
    'no command',
    withHost({ command: undefined }),
    "hosts.0.command: is missing on host 'api'; required for kind 'function'",
  ],
  [
    'an empty command',
    withHost({ command: [] }),
    "hosts.0.command: is [] on host 'api'; allowed: at least the name of a program",
  ],
  [
    'a command line',
    withHost({ command: 'node x' }),
    `hosts.0.command: is "node x" on host 'api'; allowed: an array of strings`,
  ],
  [
    'a NUL in the command',
    withHost({ command: ['a\0'] }),
    `hosts.0.command.0: is "a\\u0000" on host 'api'; allowed: a string without NUL characters`,
  ],
  [
    'an unknown kind',
    withHost({ kind: 'vm' }),
    `hosts.0.kind: is "vm" on host 'api'; allowed: 'function' or 'instance'`,
  ],
  [
    'a relative folder',
    withHost({ workingDirectory: 'app' }),
    `hosts.0.workingDirectory: is "app" on host 'api'; allowed: an absolute path`,
  ],
  ...['etc/app', '/', '/etc/', '/etc//app', '/etc/./app', '/etc/..', '/a\0'].map((path): [string, unknown, string] => [
    `remapped to ${JSON.stringify(path)}`,
    withHost({ remappedFiles: { '/etc/app': path } }),
    `hosts.0.remappedFiles./etc/app: is ${JSON.stringify(path)} on host 'api'; allowed: ${PATH_RULE}`,
  ]),
  [
    'a remapped path that is relative',
    withHost({ remappedFiles: { app: '/var/task/app' } }),
    `hosts.0.remappedFiles.app: is "app" on host 'api'; allowed: ${PATH_RULE}`,
  ],
  [
    'a path remapped into itself',
    withHost({ remappedFiles: { '/etc/app': '/etc/app/real' } }),
    `hosts.0.remappedFiles: is {"/etc/app":"/etc/app/real"} on host 'api'; allowed: paths that are remapped to places outside of themselves`,
  ],
  [
    'too many remapped paths',
    withHost({ remappedFiles: MANY_FILES }),
    `hosts.0.remappedFiles: is ${JSON.stringify(MANY_FILES).slice(0, 100)}… on host 'api'; allowed: at most 64 paths`,
  ],
  [
    'aliases that are no list',
    withHost({ aliases: 'x' }),
    `hosts.0.aliases: is "x" on host 'api'; allowed: an array of names`,
  ],
  [
    'a number in the environment',
    withHost({ environment: { A: 1 } }),
    "hosts.0.environment.A: is 1 on host 'api'; allowed: a string",
  ],
  [
    'a cluster name',
    { ...manifest, cluster: { name: '' } },
    'cluster.name: is ""; allowed: 1-32 letters, digits or hyphens, starting with a letter or digit',
  ],
  [
    'a block that is too large',
    { ...manifest, cluster: { name: 'x', cidr: '10.0.0.0/8' } },
    `cluster.cidr: is "10.0.0.0/8"; allowed: ${CIDR}`,
  ],
  [
    'a data port',
    { ...manifest, seed: { port: 9410, dataPort: 9410 } },
    'seed.dataPort: is 9410; allowed: another port than seed.port',
  ],
  ['a standby', { ...manifest, seed: { standby: 'yes' } }, 'seed.standby: is "yes"; allowed: true or false'],
  [
    'another way to be ready',
    withHost({ readyWhen: { kind: 'soon' } }),
    `hosts.0.readyWhen.kind: is "soon" on host 'api'; allowed: { kind: 'listening' }, or of kind 'command', 'http' or 'log'`,
  ],
  [
    'no command to be ready by',
    withHost({ readyWhen: { kind: 'command', command: [] } }),
    "hosts.0.readyWhen.command: is [] on host 'api'; allowed: at least the name of a program",
  ],
  [
    'a path without its slash',
    withHost({ readyWhen: { kind: 'http', path: 'up' } }),
    `hosts.0.readyWhen.path: is "up" on host 'api'; allowed: a path that begins with '/'`,
  ],
  [
    'no pattern',
    withHost({ readyWhen: { kind: 'log', pattern: '(' } }),
    `hosts.0.readyWhen.pattern: is "(" on host 'api'; allowed: a regular expression of JavaScript`,
  ],
  [
    'no command to live by',
    withHost({ livenessCommand: [''] }),
    `hosts.0.livenessCommand: is [""] on host 'api'; allowed: a first element that names a program`,
  ],
  [
    'no command to drain with',
    withHost({ onDrain: [] }),
    `hosts.0.onDrain: is [] on host 'api'; allowed: at least the name of a program`,
  ],
  [
    'no command before the release',
    withHost({ onRelease: 'redis-cli save' }),
    `hosts.0.onRelease: is "redis-cli save" on host 'api'; allowed: an array of strings`,
  ],
  [
    'a drain without time',
    withHost({ drainTimeout: 99 }),
    "hosts.0.drainTimeout: is 99 on host 'api'; allowed: a whole number of milliseconds from 100 to 300000",
  ],
  [
    'an end without end',
    withHost({ stopTimeout: 300_001 }),
    "hosts.0.stopTimeout: is 300001 on host 'api'; allowed: a whole number of milliseconds from 0 to 300000",
  ],
  [
    'an end that takes more than the half of an invocation',
    withHost({ onRelease: ['save'], drainTimeout: 8_000, timeout: 19_999 }),
    "hosts.0: host 'api': drainTimeout and stopTimeout are 8 s and 2 s, which is 10 s; allowed with onRelease: half of timeout at most, which is 9.9995 s",
  ],
  [
    'a drain that takes more than the half of an invocation',
    withHost({ onDrain: ['save'], timeout: 1_000 }),
    "hosts.0: host 'api': drainTimeout and stopTimeout are 10 s and 2 s, which is 12 s; allowed with onDrain: half of timeout at most, which is 0.5 s",
  ],
  [
    'no schedule',
    withHost({ wakeSchedule: 'daily' }),
    `hosts.0.wakeSchedule: is "daily" on host 'api'; allowed: a schedule like 'rate(5 minutes)' or 'cron(0 8 ? * MON-FRI *)'`,
  ],
  [
    'another restart policy',
    withHost({ restartPolicy: 'sometimes' }),
    `hosts.0.restartPolicy: is "sometimes" on host 'api'; allowed: 'never', 'on-failure' or 'always'`,
  ],
  [
    'a companion that is no list',
    withHost({ startWith: 'db' }),
    `hosts.0.startWith: is "db" on host 'api'; allowed: names of hosts`,
  ],
  [
    'a companion that is no host',
    withHost({ startWith: ['nobody'] }),
    `hosts.0.startWith.0: is "nobody" on host 'api'; allowed: the name of a host`,
  ],
  [
    'a host that starts with itself',
    withHost({ startWith: ['api'] }),
    "hosts.0.startWith: host 'api' starts with itself (api → api); allowed: no circle",
  ],
  [
    'an edge that is no list',
    withHost({ connectsTo: 'db' }),
    `hosts.0.connectsTo: is "db" on host 'api'; allowed: names of hosts`,
  ],
  [
    'an edge to no host',
    withHost({ connectsTo: ['nobody'] }),
    `hosts.0.connectsTo.0: is "nobody" on host 'api'; allowed: the name of another host`,
  ],
  [
    'an edge of a host to itself',
    withHost({ connectsTo: ['api'] }),
    `hosts.0.connectsTo.0: is "api" on host 'api'; allowed: the name of another host`,
  ],
  [
    'an edge of a host instance',
    withHost({ kind: 'instance', functionName: undefined, connectsTo: ['api'] }),
    "hosts.0.connectsTo: is set on host 'api'; allowed: only for kind 'function', as an instance is not allocated",
  ],
  [
    'a switch of learning that is none',
    withHost({ prefetch: 'no' }),
    `hosts.0.prefetch: is "no" on host 'api'; allowed: true or false`,
  ],
  [
    "a cluster's switch of learning that is none",
    { ...manifest, cluster: { ...manifest.cluster, prefetch: 0 } },
    'cluster.prefetch: is 0; allowed: true or false',
  ],
  [
    'a barrier for nothing',
    withHost({ startBarrier: {} }),
    "hosts.0.startBarrier: is {\"timeout\":60000} on host 'api'; allowed: 'count', 'hosts' or both",
  ],
  [
    'a barrier with no names',
    withHost({ startBarrier: { hosts: [] } }),
    "hosts.0.startBarrier.hosts: is [] on host 'api'; allowed: an array of 1 to 256 names of hosts",
  ],
  [
    'a barrier with too many names',
    withHost({ startBarrier: { hosts: Array(257).fill('db') } }),
    expect.stringMatching(/^hosts\.0\.startBarrier\.hosts: .*; allowed: an array of 1 to 256 names of hosts$/),
  ],
  [
    'a barrier without time',
    withHost({ startBarrier: { count: 1, timeout: 99 } }),
    "hosts.0.startBarrier.timeout: is 99 on host 'api'; allowed: a whole number of milliseconds from 100 to 900000",
  ],
  [
    'a barrier for no host',
    withHost({ startBarrier: { count: 0 } }),
    "hosts.0.startBarrier.count: is 0 on host 'api'; allowed: a whole number of hosts from 1 to 65535",
  ],
  [
    'a barrier for a host that is not there',
    withHost({ startBarrier: { hosts: ['nobody'] } }),
    `hosts.0.startBarrier.hosts.0: is "nobody" on host 'api'; allowed: the name of another host`,
  ],
  [
    'a barrier for the host itself',
    withHost({ aliases: ['self'], startBarrier: { hosts: ['self'] } }),
    `hosts.0.startBarrier.hosts.0: is "self" on host 'api'; allowed: the name of another host`,
  ],
  [
    'a barrier for more hosts than there are',
    withHost({ startBarrier: { count: 99 } }),
    expect.stringMatching(
      /^hosts\.0\.startBarrier\.count: is 99 on host 'api'; allowed: up to \d, as many hosts as there are$/,
    ),
  ],
  [
    'a barrier of an instance',
    withHost({ kind: 'instance', startBarrier: { count: 1 } }),
    "hosts.0.startBarrier: is set on host 'api'; allowed: only for kind 'function', as an instance starts itself",
  ],
  ['a port', { ...manifest, seed: { port: 65_536 } }, 'seed.port: is 65536; allowed: a port number from 1 to 65535'],
])('%s: one message with path, value and rule', (_what, input, message) => {
  expect(problems(input)).toEqual([message]);
});

test.each([
  [true, { port: 9410, dataPort: 9411, standby: true }],
  [false, { port: 9410, dataPort: 9411 }],
  [undefined, { port: 9410, dataPort: 9411 }],
])('a standby: %s', (standby, seed) => {
  expect(parseManifest({ ...manifest, seed: { standby } }).seed).toEqual(seed);
});

test('text that is not JSON', () => {
  expect(problems('{"version":')).toEqual([expect.stringMatching(/^not JSON: /)]);
});

test('all problems are told at once', () => {
  expect(problems(withHost({ memorySize: 1, timeout: 1, command: [] }))).toHaveLength(3);
});

test('names, aliases, addresses and functions are unique', () => {
  const twin = { ...host, name: 'web', aliases: ['api'] };
  expect(problems({ ...manifest, hosts: [host, twin] })).toEqual([
    "hosts.1: the name 'api' is taken by hosts.0 ('api'); every name and alias must be unique",
    'hosts.1.address: "100.64.1.1" is the address of hosts.0 (\'api\') too',
    'hosts.1.functionName: "shop-api" is the function of hosts.0 (\'api\') too',
  ]);
});

test('long values are cut', () => {
  const [problem] = problems(withHost({ kind: 'x'.repeat(5_000) }));
  expect(problem.length).toBeLessThan(200);
});

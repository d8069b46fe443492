import { Duration, Lazy, Stack, Token } from 'aws-cdk-lib';
import * as lambda from 'aws-cdk-lib/aws-lambda';
import { HostFunction, type HostOptions, Ready, StartBarrier } from '../../../src';
import { HOST, newCluster } from '../support';

describe('what cannot work is refused', () => {
  const token = Token.asString({ Ref: 'Something' });
  const cases: Array<[string, string, Partial<HostOptions>, string]> = [
    ['a name with capitals', 'Api', {}, "Shop/Cluster: the name of a host is 'Api'; allowed: 1-63 lower-case letters"],
    ['a name with an underscore', 'a_b', {}, "the name of a host is 'a_b'; allowed: 1-63 lower-case letters"],
    ['a name that ends in a hyphen', 'api-', {}, "the name of a host is 'api-'; allowed: 1-63 lower-case letters"],
    ['a name that the cluster uses', 'node-1', {}, "the name of a host is 'node-1', which the cluster uses itself"],
    ['a name known at deployment', token, {}, 'the name of a host is known only at deployment'],
    ['a bad alias', 'api', { aliases: ['ok', 'No'] }, "Shop/Cluster/api: aliases[1] is 'No'; allowed: 1-63 lower-case"],
    ['an alias twice', 'api', { aliases: ['x', 'x'] }, "the name 'x' of host 'api' is taken by host 'api'"],
    ['an alias that is its name', 'api', { aliases: ['api'] }, "the name 'api' of host 'api' is taken by host 'api'"],
    [
      'an alias of another host',
      'api',
      { aliases: ['first'] },
      "the name 'first' of host 'api' is taken by host 'first'",
    ],
    ['a name taken by an alias', 'uno', {}, "the name 'uno' of host 'uno' is taken by host 'first'; choose another"],
    [
      'the name of another host',
      'first',
      {},
      "the name 'first' of host 'first' is taken by host 'first'; choose another",
    ],
    [
      'a function name beyond 64 characters',
      'a'.repeat(60),
      {},
      "(73 characters); a function name has at most 64 characters and consists of the cluster's name and the host's: shorten the host's name to 51 characters, or set a shorter 'clusterName'",
    ],
    [
      'a barrier that is no number',
      'api',
      { startBarrier: StartBarrier.count(0.5) },
      "startBarrier's count is 0.5; allowed: a whole number of hosts from 1 to 65535",
    ],
    [
      'a barrier without a number',
      'api',
      { startBarrier: StartBarrier.count(undefined as unknown as number) },
      "startBarrier's count is undefined; allowed: a whole number of hosts from 1 to 65535",
    ],
    [
      'a barrier with a name for a list',
      'api',
      { startBarrier: StartBarrier.hosts('db' as unknown as string[]) },
      'startBarrier\'s hosts are "db"; allowed: an array of names of hosts',
    ],
    [
      'a barrier with a name known at deployment',
      'api',
      { startBarrier: StartBarrier.hosts([token]) },
      "startBarrier's hosts is known only at deployment",
    ],
    [
      'a barrier that is waited at for too long',
      'api',
      { startBarrier: StartBarrier.count(1, { timeout: Duration.minutes(16) }) },
      "startBarrier's timeout is 960 s; allowed: 0.1 s to 900 s",
    ],
    ['no command', 'api', { command: [] }, 'command is []; its first element must name the program that the host runs'],
    ['an empty program', 'api', { command: [''] }, 'command is [""]; its first element must name the program'],
    [
      'a command known at deployment',
      'api',
      { command: ['run', token] },
      "command[1] is known only at deployment, but is part of the manifest, which is written at synthesis; pass the value in 'environment'",
    ],
    ['a command list known at deployment', 'api', { command: Token.asList({ Ref: 'X' }) }, 'command is known only at'],
    [
      'too little memory',
      'api',
      { memorySize: 64 },
      'memorySize is 64; allowed: a whole number of MB from 128 to 10240',
    ],
    [
      'too much memory',
      'api',
      { memorySize: 10_241 },
      'memorySize is 10241; allowed: a whole number of MB from 128 to',
    ],
    [
      'half an MB',
      'api',
      { memorySize: 512.5 },
      'memorySize is 512.5; allowed: a whole number of MB from 128 to 10240',
    ],
    ['memory known at deployment', 'api', { memorySize: Token.asNumber({ Ref: 'X' }) }, 'memorySize is known only at'],
    [
      'a timeout above 30 minutes',
      'api',
      { timeout: Duration.seconds(1_801) },
      'timeout is 1801 s; allowed: a whole number of seconds, 1 s to 1800 s',
    ],
    [
      'a timeout of half a second',
      'api',
      { timeout: Duration.millis(500) },
      'timeout is 0.5 s; allowed: a whole number',
    ],
    [
      'a timeout of one and a half',
      'api',
      { timeout: Duration.millis(1500) },
      'timeout is 1.5 s; allowed: a whole number',
    ],
    [
      'a timeout known at deployment',
      'api',
      { timeout: Duration.seconds(Token.asNumber({ Ref: 'X' })) },
      'timeout is known only at deployment',
    ],
    [
      'an idle timeout of nothing',
      'api',
      { idleTimeout: Duration.seconds(0) },
      'idleTimeout is 0 s; allowed: 0.1 s to 31536000 s',
    ],
    [
      'a release timeout of nothing',
      'api',
      { releaseTimeout: Duration.millis(99) },
      'releaseTimeout is 0.099 s; allowed: 0.1 s to 31536000 s',
    ],
    [
      'a long allocation timeout',
      'api',
      { allocationTimeout: Duration.hours(1) },
      'allocationTimeout is 3600 s; allowed: 0.1 s to 900 s',
    ],
    [
      'a look at readiness without a pause',
      'api',
      { readyWhen: Ready.command(['true'], { interval: Duration.millis(1) }) },
      "readyWhen's interval is 0.001 s; allowed: 0.05 s to 60 s",
    ],
    [
      'a look at readiness that takes for ever',
      'api',
      { readyWhen: Ready.http('/', { timeout: Duration.hours(1) }) },
      "readyWhen's timeout is 3600 s; allowed: 0.05 s to 60 s",
    ],
    ['no port', 'api', { readyWhen: Ready.http('/', { port: 0 }) }, "readyWhen's port is 0; allowed: "],
    [
      'looks at liveness all the time',
      'api',
      { livenessInterval: Duration.millis(10) },
      'livenessInterval is 0.01 s; allowed: 1 s to 3600 s',
    ],
    [
      'a command known at deployment',
      'api',
      { onDrain: ['save', token] },
      'onDrain[1] is known only at deployment, but is part of the manifest',
    ],
    [
      'a list of words known at deployment',
      'api',
      { onRelease: Token.asList('words') },
      'onRelease is known only at deployment, but is part of the manifest',
    ],
    [
      'a command without a program',
      'api',
      { onRelease: [] },
      'onRelease is []; its first element must name the program',
    ],
    ['a command of nothing', 'api', { livenessCommand: [''] }, 'livenessCommand is [""]; its first element must name'],
    [
      'a command that is no list',
      'api',
      { onDrain: 'save' as never },
      'onDrain of host \'api\' is "save"; allowed: an array of strings',
    ],
    [
      'a drain without time',
      'api',
      { drainTimeout: Duration.millis(99) },
      'drainTimeout is 0.099 s; allowed: 0.1 s to 300 s',
    ],
    ['an end without end', 'api', { stopTimeout: Duration.minutes(6) }, 'stopTimeout is 360 s; allowed: 0 s to 300 s'],
    [
      'an end known at deployment',
      'api',
      { stopTimeout: Duration.seconds(Lazy.number({ produce: () => 1 })) },
      'stopTimeout is known only at deployment',
    ],
    [
      'an end that takes more than the half of an invocation',
      'api',
      { onRelease: ['save'], timeout: Duration.seconds(20) },
      'drainTimeout and stopTimeout are 10 s and 2 s, which is 12 s; allowed with onRelease: half of timeout at most, which is 10 s',
    ],
    ['a long settle time', 'api', { settleTime: Duration.hours(1) }, 'settleTime is 3600 s; allowed: 0 s to 900 s'],
    [
      'a relative directory',
      'api',
      { workingDirectory: 'app' },
      "workingDirectory is 'app'; allowed: an absolute path",
    ],
    [
      'a directory known at deployment',
      'api',
      { workingDirectory: token },
      'workingDirectory is known only at deployment',
    ],
    [
      'a relative path to remap',
      'api',
      { remappedFiles: { 'etc/app': '/var/task/app' } },
      "remappedFiles names 'etc/app'; allowed: an absolute path to something beneath '/'",
    ],
    [
      'a remap to a path with dots',
      'api',
      { remappedFiles: { '/etc/app': '/var/task/../app' } },
      "remappedFiles['/etc/app'] is '/var/task/../app'; allowed: an absolute path",
    ],
    [
      'a remap into itself',
      'api',
      { remappedFiles: { '/etc/app': '/etc/app' } },
      "remappedFiles['/etc/app'] is '/etc/app', which is inside of the path itself",
    ],
    [
      'a remap known at deployment',
      'api',
      { remappedFiles: { '/etc/app': token } },
      "remappedFiles['/etc/app'] is known only at deployment",
    ],
    [
      'too many remaps',
      'api',
      { remappedFiles: Object.fromEntries(Array.from({ length: 65 }, (_, i) => [`/etc/${i}`, '/tmp'])) },
      'remappedFiles has 65 paths; allowed: at most 64',
    ],
    [
      'an address outside the block',
      'api',
      { address: '10.0.0.1' },
      "address is '10.0.0.1'; allowed: an IPv4 address from 100.64.0.2 to 100.64.254.255",
    ],
    ['the network address', 'api', { address: '100.64.0.0' }, "address is '100.64.0.0'; allowed: an IPv4 address from"],
    ['no address at all', 'api', { address: 'here' }, "address is 'here'; allowed: an IPv4 address from 100.64.0.2"],
    ['an address known at deployment', 'api', { address: token }, 'address is known only at deployment'],
    [
      'a Python runtime',
      'api',
      { runtime: lambda.Runtime.PYTHON_3_12 },
      "runtime is 'python3.12'; allowed: a Node.js runtime, 20 or newer",
    ],
    [
      'an old Node.js runtime',
      'api',
      { runtime: lambda.Runtime.NODEJS_18_X },
      "runtime is 'nodejs18.x'; allowed: a Node.js",
    ],
    [
      'an unknown runtime',
      'api',
      { runtime: new lambda.Runtime('cobol1') },
      "runtime is 'cobol1'; allowed: a Node.js runtime",
    ],
  ];

  test.each(cases)('%s', (_, name, options, message) => {
    const { cluster } = newCluster();
    cluster.addHost('first', { ...HOST, aliases: ['uno'] });
    let error: unknown;
    try {
      cluster.addHost(name, { ...HOST, ...options });
    } catch (thrown) {
      error = thrown;
    }
    expect((error as Error)?.message).toContain(message);
  });

  test('a host in another stack than its cluster', () => {
    const { app, cluster } = newCluster();
    const other = new Stack(app, 'Other');
    expect(() => new HostFunction(other, 'api', { ...HOST, cluster })).toThrow(
      "Other/api: the host belongs to stack 'Other', its cluster to 'Shop'; define both in one stack",
    );
  });

  test('two hosts at one pinned address', () => {
    const { app, cluster } = newCluster();
    cluster.addHost('a', { ...HOST, address: '100.64.1.1' });
    cluster.addHost('b', { ...HOST, address: '100.64.1.1' });
    expect(() => app.synth()).toThrow(
      "[Shop/Cluster] hosts 'a' and 'b' both map to the virtual address 100.64.1.1; give 'b' one of its own: address: '100.64.1.2'",
    );
  });

  test('an environment variable that cannot exist', () => {
    const { app, cluster } = newCluster();
    cluster.addHost('api', { ...HOST, environment: { 'A=B': 'c' } });
    expect(() => app.synth()).toThrow(/\[Shop\/Cluster\] .*\n.*hosts\.0\.environment.*a variable name without '='/);
  });
});

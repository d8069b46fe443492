/**
 * The commands, their options and their help. A command's own file, and with it everything it needs, is loaded only
 * when it runs, so that `imaginary --help` and usage errors cost nothing.
 */
import { Command, Option } from 'commander';
import type { HostCommand } from '../contract/control/to-seed';
import { endpoint, forwardOptions, lines, platformOptions, port, seconds, since, waitFor, waitTime } from './options';

const STATE = 'state directory of the cluster (default: the nearest .imaginary, from here upwards)';
const JSON_LINES = 'print JSON, one object per line';

/** Adds a command that has `--json`, with its help. */
type AddCommand = (
  usage: string,
  summary: string,
  description: string,
  examples: readonly string[],
  json?: string,
) => Command;

const HELP = `
Exit codes:
  0    done
  1    failed; the message names the cause and the next step
  2    the command line is wrong
  125  exec, join: imaginary itself failed; any other code of theirs is the command's own

Start with:
  imaginary up examples/shop && imaginary exec -- curl -s http://web/orders
  imaginary ps
  imaginary down`;

/** @param version of the package */
export function buildProgram(version: string, setExitCode: (code: number) => void): Command {
  const program = new Command('imaginary')
    .description('Boots a cluster of imaginary hosts on this machine and works with it.')
    .version(version, '-V, --version', 'print the version')
    .helpOption('-h, --help', 'print help')
    .helpCommand(false)
    .enablePositionalOptions()
    .configureOutput({ outputError: () => undefined })
    .showHelpAfterError(false)
    .exitOverride();

  const command: AddCommand = (usage, summary, description, examples, json = 'print one JSON object') =>
    program
      .command(usage)
      .summary(summary)
      .description(description)
      .option('--json', json)
      .configureOutput({ outputError: () => undefined })
      .exitOverride()
      .addHelpText('after', `\nExamples:\n${examples.map((line) => `  ${line}`).join('\n')}`);
  addUp(command);
  addDown(command);
  addPs(command);
  addEdges(command);
  addEvents(command);
  addLogs(command);
  addExec(command, setExitCode);
  addForward(command, setExitCode);
  addOpen(command, setExitCode);
  addJoin(command, setExitCode);
  addOrders(command);
  addRotate(command);
  addDaemon(program);
  program.addHelpText('after', HELP);
  return program;
}

function addUp(command: AddCommand): void {
  const up = command(
    'up',
    'boot a cluster in the background',
    'Boots the cluster of a CDK app (or of a cloud assembly, or of a manifest) in the background, and returns when it' +
      ' is ready: every host has its name and its address, and none runs until something connects to it.',
    [
      'imaginary up                      the CDK app in this folder',
      'imaginary up examples/shop        the CDK app in that folder',
      'imaginary up cdk.out              a cloud assembly that cdk synth wrote',
      'imaginary up manifest.json        a manifest; its folder is the code of the functions (/var/task)',
      'imaginary up --foreground         stay here; Ctrl-C takes the cluster down',
      'imaginary up --network nat        every host in a network of its own, as on AWS',
      'imaginary up --nat symmetric --nat api=shared --nat web=shared+no-udp --rtt 0.7',
      'imaginary up --concurrency 10',
    ],
  )
    .argument('[path]', 'folder with a cdk.json, a cdk.out, or a manifest.json', '.')
    .option('--state <dir>', "state directory (default: .imaginary in the app's folder)");
  for (const option of platformOptions()) up.addOption(option);
  up.option('--foreground', 'run in the foreground until interrupted').action(async (path: string, options) =>
    (await import('./commands/up.js')).up(path, options),
  );
}

function addDown(command: AddCommand): void {
  command(
    'down',
    'take the cluster down',
    'Stops every guest, the seed and the local platform. Succeeds when nothing runs, too. The logs stay in the' +
      ' state directory.',
    ['imaginary down', 'imaginary down --state /tmp/shop'],
  )
    .option('--state <dir>', STATE)
    .action(async (options) => (await import('./commands/down.js')).down(options));
}

function addPs(command: AddCommand): void {
  command(
    'ps',
    'list the hosts and what they do',
    'Lists the hosts: state, since when, how often each was allocated, how long the last allocation took (from the' +
      ' connect that caused it until the host ran), the ports that its guests listen on, and what keeps it from being idle.',
    ['imaginary ps', 'imaginary ps --why', 'imaginary ps --json | jq \'.hosts[] | select(.state == "running").name\''],
  )
    .option('--state <dir>', STATE)
    .option('--why', 'name the connection or the process that keeps each host up')
    .action(async (options) => (await import('./commands/ps.js')).ps(options));
}

function addEdges(command: AddCommand): void {
  command(
    'edges',
    'show which hosts are started with which',
    'Lists the edges of the cluster: which host connects to which after its allocation, so that the two are started in the' +
      ' same moment. An edge is declared (connectsTo) or learnt. A hit is such a start after which the host did connect, a' +
      ' miss one after which it did not. WASTED is how long hosts were up for that while nobody connected to them.',
    ['imaginary edges', "imaginary edges --json | jq '.edges[] | select(.misses > .hits)'"],
  )
    .option('--state <dir>', STATE)
    .action(async (options) => (await import('./commands/edges.js')).edges(options));
}

function addEvents(command: AddCommand): void {
  command(
    'events',
    'show what happened',
    'Prints what happened in the cluster since it was booted, oldest first: allocations with their steps, connections,' +
      ' suspensions, failures with their reasons.',
    ['imaginary events --follow', 'imaginary events --host api', 'imaginary events --json | jq -c .event'],
    JSON_LINES,
  )
    .option('--state <dir>', STATE)
    .option('-f, --follow', 'go on with what happens from now on')
    .option('--host <name>', 'only what concerns this host')
    .action(async (options) => (await import('./commands/events.js')).events(options));
}

function addLogs(command: AddCommand): void {
  command(
    'logs',
    "print a host's log, or all of them",
    "Prints what hosts' guests wrote to standard output and standard error, and what their supervisors had to say." +
      " The name 'seed' stands for the seed. What was written before the last 'imaginary up' is there too, above a line that says so.",
    [
      'imaginary logs                          all hosts',
      'imaginary logs api --follow',
      'imaginary logs web --tail 20',
      'imaginary logs --since 5m               also 30s, 2h, 1d, 2026-11-29, 2026-11-29T12:00:00Z',
      'imaginary logs seed',
    ],
    JSON_LINES,
  )
    .argument('[host]', 'name or alias of a host (default: all hosts)')
    .option('--state <dir>', STATE)
    .option('-f, --follow', 'go on with what is written from now on')
    .addOption(new Option('--tail <lines>', 'only so many lines, the last ones').argParser(lines))
    .addOption(new Option('--since <time>', 'only what was written since then, or in a time like 5m').argParser(since))
    .action(async (host: string | undefined, options) => (await import('./commands/logs.js')).logs(host, options));
}

function addExec(command: AddCommand, setExitCode: (code: number) => void): void {
  command(
    'exec',
    'run a command in the cluster',
    'Runs a command of this machine as if on a host of the cluster: it resolves the names of the hosts and connects to' +
      ' them. Standard input, output and error are its own, and its exit code is passed on (128+n after signal n, 127 not' +
      ' found, 126 not executable; 125 when imaginary itself failed). Without --as it gets an address of its own.',
    [
      'imaginary exec -- curl http://web/',
      'imaginary exec -- redis-cli -h redis GET answer',
      'imaginary exec --as web -- python3 client.py    with the address of web',
      'imaginary exec --why -- curl http://web:81/     and why it was refused',
      'imaginary exec -- bash                          a shell in the cluster',
    ],
    'at the end, print one JSON object about the command on standard error',
  )
    .argument('<command...>', 'the command and its arguments')
    .option('--state <dir>', STATE)
    .option('--as <name>', 'act under the name and address of this host')
    .option('--why', 'print the reason of every connect that fails, on standard error')
    .addOption(new Option('--inside', 'this process is in its slot in the network').hideHelp())
    .passThroughOptions()
    .usage('[options] -- CMD [ARG…]')
    .action(async (argv: string[], options) =>
      setExitCode(await (await import('./commands/exec.js')).exec(argv, options)),
    );
}

function addForward(command: AddCommand, setExitCode: (code: number) => void): void {
  const forward = command(
    'forward',
    'reach ports of hosts at localhost',
    'Listens on ports of this machine; each connection goes to the port of a host, which is started by the first one.' +
      ' Without LOCAL the port is the same if it is free, else another one, which is printed. Goes on until it is' +
      ' interrupted; open connections are reset then. The exit code is 128+n after signal n.',
    [
      'imaginary forward db:5432                 then: psql -h 127.0.0.1',
      'imaginary forward 16379:redis:6379 web:80',
      'imaginary forward 0:web:80 --json         any free port, for programs',
      'imaginary forward --bind 0.0.0.0 web:80   in a container, for its host',
      'imaginary forward --seed 192.0.2.7:9410 --key arn:aws:secretsmanager:… db:5432',
    ],
    'print one JSON object when all ports are listened on',
  )
    .argument('<[local:]host:port...>', 'what to forward')
    .option('--state <dir>', STATE)
    .addOption(new Option('--inside <sockets>', 'this process is in its slot in the network').hideHelp());
  for (const option of forwardOptions()) forward.addOption(option);
  forward.action(async (targets: string[], options) =>
    setExitCode(await (await import('./commands/forward.js')).forward(targets, options)),
  );
}

function addOpen(command: AddCommand, setExitCode: (code: number) => void): void {
  const opening = command(
    'open',
    'open a host in a browser',
    'Forwards a port of a host, prints its URL, and opens it in a browser where there is one and a display. Without' +
      ' --port it is the port that readyWhen asks by HTTP, else the first one that the host listens on; a host that does not' +
      ' run is started for that. Goes on until it is interrupted, as forward does.',
    ['imaginary open web', 'imaginary open web --port 8080', 'imaginary open web --print   only the URL'],
    'print one JSON object when the port is listened on',
  )
    .argument('<host>', 'name of a host')
    .option('--state <dir>', STATE)
    .addOption(new Option('--port <port>', 'port of the host').argParser(port))
    .option('--print', 'only print the URL');
  for (const option of forwardOptions()) opening.addOption(option);
  opening.action(async (host: string, options) =>
    setExitCode(await (await import('./commands/open.js')).open(host, options)),
  );
}

function addJoin(command: AddCommand, setExitCode: (code: number) => void): void {
  command(
    'join',
    'run a host instance on this machine',
    'Joins a cluster as one of its host instances, and runs its guest here: on a VM, in a container, on a laptop. Other hosts' +
      ' reach it by its name, and it reaches them. Nothing releases it but the end of its guest, SIGTERM or SIGINT: then the' +
      ' guest gets SIGTERM, and SIGKILL after its stopTimeout. Its exit code is passed on (125 when imaginary itself failed).' +
      ' Without a command the one in the manifest is run.',
    [
      'imaginary join --name db -- postgres -D /var/lib/postgresql    a cluster of this machine (imaginary up)',
      'imaginary join --seed 192.0.2.7:9410 --key /etc/imaginary/key --name db -- postgres -D data',
      'imaginary join --seed 192.0.2.7:9410 --key arn:aws:secretsmanager:… --name db    on AWS',
      'IMAGINARY_KEY=… imaginary join --seed 192.0.2.7:9410 --name db -- redis-server',
      'imaginary join --name db --wait 3 -- ./server        once three hosts have joined, this one among them',
      'imaginary join --name db --wait api,cache -- ./server',
    ],
    'print messages as JSON, one object per line',
  )
    .argument('[command...]', 'the guest and its arguments (default: the command in the manifest)')
    .requiredOption('--name <name>', 'the host instance that this is')
    .addOption(new Option('--seed <address:port>', 'where the seed is').argParser(endpoint))
    .addOption(
      new Option('--standby <address:port>', "where the cluster's other seed is, if it has two").argParser(endpoint),
    )
    .option(
      '--key <source>',
      "the cluster key: a file, 'env:NAME', or a secret's ARN (default: the variable IMAGINARY_KEY)",
    )
    .option('--state <dir>', `${STATE}; without --seed`)
    .addOption(
      new Option('--wait <n|names>', 'start the guest once so many hosts have joined, or these').argParser(waitFor),
    )
    .addOption(
      new Option('--wait-timeout <seconds>', 'give up after this time').argParser(waitTime).default(60_000, '60'),
    )
    .option('--run-dir <dir>', 'folder for what supervisor and guest share (default: one in the temporary folder)')
    .addOption(new Option('--inside', 'this process is in its slot in the network').hideHelp())
    .passThroughOptions()
    .usage('[options] --name NAME [-- CMD [ARG…]]')
    .action(async (argv: string[], options) =>
      setExitCode(await (await import('./commands/join.js')).join(argv, options)),
    );
}

const ORDERS: ReadonlyArray<readonly [command: HostCommand, summary: string, description: string]> = [
  ['start', 'start a host', 'Starts a host that nobody connects to, or wakes a suspended one. Returns when it runs.'],
  ['wake', 'wake a suspended host', 'Wakes a suspended host, with all that is in its memory. Returns when it runs.'],
  [
    'release',
    'end a suspended host',
    'Ends the guests of a suspended host now, instead of after its releaseTimeout. The next connect starts it anew.',
  ],
  [
    'stop',
    'end a host',
    'Ends the guests of a host, whether it runs or is suspended. The next connect starts it anew.',
  ],
];

function addOrders(command: AddCommand): void {
  for (const [name, summary, description] of ORDERS) {
    command(name, summary, description, [`imaginary ${name} worker`, `imaginary ${name} worker --json`])
      .argument('<host>', 'name of a host')
      .option('--state <dir>', STATE)
      .action(async (host: string, options) => (await import('./commands/order.js')).order(name, host, options));
  }
}

function addRotate(command: AddCommand): void {
  command(
    'rotate',
    'give the cluster a new key',
    'Replaces the key that hosts, operators and clients prove themselves with, while the cluster runs. Running hosts are' +
      ' given new secrets; old ones are accepted for the overlap, then refused. Connections of guests are not touched.',
    ['imaginary rotate', 'imaginary rotate --overlap 0    the old key is refused at once'],
  )
    .option('--state <dir>', STATE)
    .addOption(
      new Option('--overlap <seconds>', 'how long the old key is accepted besides the new one')
        .argParser(seconds)
        .default(10),
    )
    .action(async (options) => (await import('./commands/rotate.js')).rotate(options));
}

function addDaemon(program: Command): void {
  const daemon = program
    .command('daemon', { hidden: true })
    .requiredOption('--state <dir>')
    .option('--assembly <dir>')
    .option('--manifest <file>')
    .exitOverride()
    .action(async (options) => (await import('./commands/daemon.js')).daemon(options));
  for (const option of platformOptions()) daemon.addOption(option);
}

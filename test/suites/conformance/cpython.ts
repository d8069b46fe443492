/** CPython's own tests, of whichever installed CPython has its test package. */
import { spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type Known, type Outcomes, parseOutcomes } from './compare';
import { type Part, type Runner, type Suite, SuiteMissingError } from './suite';

const RUNNER = join(__dirname, 'outcomes.py');

interface Module {
  /** About how long it runs, in seconds. */
  readonly weight: number;
  /** regrtest's resources that it may use. */
  readonly resources?: readonly string[];
}

const MODULES: Readonly<Record<string, Module>> = {
  test_asyncio: { weight: 90 },
  test_multiprocessing_fork: { weight: 90 },
  test_socket: { weight: 45 },
  test_ssl: { weight: 30 },
  test_subprocess: { weight: 25 },
  test_selectors: { weight: 15 },
  test_httplib: { weight: 1 },
  // Needs a network only by its own words: it talks to itself.
  test_socketserver: { weight: 1, resources: ['network'] },
};

/** Patterns of test ids that are not run on either side, and why. */
const LEFT_OUT: Readonly<Record<string, string>> = {
  'test.test_socket.*VSOCK*':
    'AF_VSOCK has no namespace: both sides would use the same port of the machine, and where the kernel has vsock but no ' +
    'hypervisor the connect never ends, natively too',
};

export const KNOWN: readonly Known[] = [
  {
    test: /^test\.test_socket\.Recvmsg(Into)?RFC3542AncillaryUDP(LITE)?6Test\.\w+$/,
    native: 'ok',
    shim: 'fail',
    reason:
      'datagrams to ::1 go over IPv4 inside the cluster: the kernel gives no IPv6 control data (hop limit, traffic class) with ' +
      'them',
  },
  // Where the machine's own name is in no resolver.
  ...['testHostnameRes', 'testSockName'].map(
    (name): Known => ({
      test: `test.test_socket.GeneralModuleTests.${name}`,
      native: 'skip',
      shim: 'ok',
      reason: 'the name of a host of the cluster always resolves; that of this machine may not',
    }),
  ),
];

/** A process that does not end by itself, although each test has its own limit. */
const PART_LIMIT = 900_000;

export function findCpython(): Suite {
  const candidates = [process.env.IMAGINARY_CONFORMANCE_PYTHON, '/usr/bin/python3', '/usr/local/bin/python3'];
  const python = candidates.find((path) => path && existsSync(path) && hasTests(path));
  if (!python) {
    const next = 'install libpython3.11-testsuite (Debian), or name an interpreter in IMAGINARY_CONFORMANCE_PYTHON';
    throw new SuiteMissingError('CPython', `no CPython with its test package is installed; ${next}`);
  }
  return {
    name: 'CPython',
    version: `${spawnSync(python, ['--version'], { encoding: 'utf8' }).stdout.trim()} (${python})`,
    parts: Object.entries(MODULES).map(([name, module]) => partOf(python, name, module)),
    leftOut: Object.entries(LEFT_OUT).map(([pattern, reason]) => `${pattern}: ${reason}`),
    known: KNOWN,
  };
}

function hasTests(python: string): boolean {
  return (
    spawnSync(python, ['-c', `import ${Object.keys(MODULES).map((name) => `test.${name}`)}`], { stdio: 'ignore' })
      .status === 0
  );
}

function partOf(python: string, name: string, { weight, resources = [] }: Module): Part {
  const options = [
    ...resources.flatMap((resource) => ['--resource', resource]),
    ...Object.keys(LEFT_OUT).flatMap((pattern) => ['--leave-out', pattern]),
  ];
  const run: Part['run'] = (runner, only = []) =>
    runModule(python, name, runner, [...options, ...only.flatMap((test) => ['--only', test])]);
  return { name, weight, run };
}

/** Starts again behind each test that took the interpreter with it. */
async function runModule(python: string, name: string, runner: Runner, options: readonly string[]): Promise<Outcomes> {
  const folder = mkdtempSync(join(tmpdir(), 'imaginary-conformance-'));
  const output = join(folder, 'outcomes');
  const command = [python, RUNNER, output, name, ...options];
  try {
    for (let before = -1; ; ) {
      const { code, stderr } = await runner(command, { timeout: PART_LIMIT, env: { LANG: 'C.UTF-8' } });
      const { outcomes, complete } = parseOutcomes(existsSync(output) ? readFileSync(output, 'utf8') : '');
      if (complete) return outcomes;
      if (outcomes.size === before || outcomes.size === 0)
        throw new Error(`${name} ended with ${code} after ${outcomes.size} tests, outside of any:\n${stderr}`);
      before = outcomes.size;
    }
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

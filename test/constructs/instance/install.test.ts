/** The installer of a host instance, with stubs for what only Amazon Linux has. */
import { execFileSync, spawnSync } from 'node:child_process';
import * as fs from 'node:fs';
import * as os from 'node:os';
import * as path from 'node:path';

const SCRIPT = path.resolve(__dirname, '../../../src/constructs/instance/install.sh');
const ARGUMENTS = {
  '--cli': 's3://bucket/cli.zip',
  '--supervisor-x86_64': 's3://bucket/supervisor-x86_64.zip',
  '--supervisor-arm64': 's3://bucket/supervisor-arm64.zip',
  '--shim-x86_64': 's3://bucket/shim-x86_64.zip',
  '--shim-arm64': 's3://bucket/shim-arm64.zip',
  '--version': '1.2.3',
  '--name': 'db',
  '--seed': '203.0.113.7:9410',
  '--key': 'arn:aws:secretsmanager:eu-west-1:1:secret:key',
  '--region': 'eu-west-1',
  '--user': 'ec2-user',
  '--stop': '22',
};

let root: string;
let bin: string;

function stub(name: string, body: string) {
  fs.writeFileSync(path.join(bin, name), `#!/bin/bash\necho "${name} $*" >> ${root}/calls\n${body}\n`, { mode: 0o755 });
}

function install(args: Record<string, string> = ARGUMENTS, arch = 'aarch64') {
  const { status, stderr } = spawnSync('bash', [SCRIPT, ...Object.entries(args).flat()], {
    env: { PATH: `${bin}:/usr/bin:/bin`, IMAGINARY_ROOT: root, IMAGINARY_RETRY_DELAY: '0', IMAGINARY_ARCH: arch },
    encoding: 'utf8',
  });
  const calls = fs.existsSync(`${root}/calls`) ? fs.readFileSync(`${root}/calls`, 'utf8').trim().split('\n') : [];
  return { status, stderr, calls: calls.map((call) => call.replaceAll(root, '')) };
}

const unitOf = (name = 'db') => fs.readFileSync(`${root}/etc/systemd/system/imaginary-${name}.service`, 'utf8');

beforeEach(() => {
  root = fs.mkdtempSync(path.join(os.tmpdir(), 'instance-root-'));
  bin = path.join(root, 'bin');
  fs.mkdirSync(bin);
  for (const name of ['node-24', 'systemctl', 'dnf']) stub(name, '');
  // aws s3 cp --region R URL FILE: an archive with one file that is called like the object.
  const zip = 'import sys, zipfile; zipfile.ZipFile(sys.argv[2], "w").writestr(sys.argv[1].split("/")[-1], "content")';
  stub('aws', `python3 -c '${zip}' "$5" "$6"`);
});
afterEach(() => fs.rmSync(root, { recursive: true }));

test.each([
  ['aarch64', 'arm64'],
  ['x86_64', 'x86_64'],
])('on %s it installs the files of %s as they are in the package, and a unit, and starts it', (machine, arch) => {
  const { status, stderr, calls } = install(ARGUMENTS, machine);
  expect([status, stderr]).toEqual([0, '']);
  expect(calls).toEqual([
    'aws s3 cp --region eu-west-1 s3://bucket/cli.zip /opt/imaginary/new.zip',
    `aws s3 cp --region eu-west-1 s3://bucket/supervisor-${arch}.zip /opt/imaginary/new.zip`,
    `aws s3 cp --region eu-west-1 s3://bucket/shim-${arch}.zip /opt/imaginary/new.zip`,
    'systemctl daemon-reload',
    'systemctl enable imaginary-db.service',
    'systemctl restart imaginary-db.service',
  ]);
  const files = execFileSync('find', ['.', '-type', 'f'], { cwd: `${root}/opt/imaginary`, encoding: 'utf8' });
  expect(files.trim().split('\n').sort()).toEqual([
    './program/assets/cli/cli.zip',
    `./program/lambda-layers/shim/${arch}/shim-${arch}.zip`,
    `./program/lambda-layers/supervisor/${arch}/supervisor-${arch}.zip`,
    './program/package.json',
  ]);
  expect(fs.readFileSync(`${root}/opt/imaginary/program/package.json`, 'utf8')).toBe('{"version":"1.2.3"}\n');
  const unit = unitOf();
  expect(unit).toContain(
    'ExecStart=/usr/bin/node-24 /opt/imaginary/program/assets/cli/imaginary.js join --seed 203.0.113.7:9410 --key ' +
      'arn:aws:secretsmanager:eu-west-1:1:secret:key --name db --run-dir /run/imaginary-db/host\n',
  );
  for (const line of [
    'User=ec2-user',
    'KillMode=mixed',
    'TimeoutStopSec=22',
    'Restart=always',
    'RuntimeDirectory=imaginary-db',
  ]) {
    expect(unit.split('\n')).toContain(line);
  }
});

test('a second seed, and what the guest waits for', () => {
  install({ ...ARGUMENTS, '--standby': '203.0.113.8:9410', '--wait': 'api,cache', '--wait-timeout': '300' });
  expect(unitOf()).toMatch(
    / join --seed 203\.0\.113\.7:9410 --standby 203\.0\.113\.8:9410 --key .* --wait api,cache --wait-timeout 300\n/,
  );
});

test('two hosts of one machine have a unit each; run again it replaces the program', () => {
  install();
  install({ ...ARGUMENTS, '--name': 'cache', '--cli': 's3://bucket/newer.zip' });
  expect(unitOf('db')).toContain('--name db ');
  expect(unitOf('cache')).toContain('--name cache ');
  expect(fs.readdirSync(`${root}/opt/imaginary/program/assets/cli`)).toEqual(['newer.zip']);
});

test.each(Object.keys(ARGUMENTS))('says that %s is missing', (option) => {
  const { [option as keyof typeof ARGUMENTS]: _, ...rest } = ARGUMENTS;
  const { status, stderr, calls } = install(rest);
  expect([status, stderr, calls]).toEqual([2, `install.sh: ${option} is missing\n`, []]);
});

test('an unknown option; a download that fails ten times', () => {
  expect(install({ ...ARGUMENTS, '--other': 'x' })).toMatchObject({
    status: 2,
    stderr: 'install.sh: unknown option --other\n',
  });
  stub('aws', 'exit 1');
  const { status, stderr } = install();
  expect(status).toBe(1);
  expect(stderr).toContain('attempt 10 of 10 failed');
  expect(fs.existsSync(`${root}/etc/systemd/system/imaginary-db.service`)).toBe(false);
});

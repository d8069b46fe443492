import { spawnSync } from 'node:child_process';
import * as fs from 'node:fs';
import * as os from 'node:os';
import * as path from 'node:path';

const SCRIPT = path.resolve(__dirname, '../../../src/constructs/seed/install.sh');
const ARGUMENTS = {
  '--program': 's3://bucket/seed.js',
  '--native': 's3://bucket/native.node',
  '--manifest': 's3://bucket/manifest.json',
  '--key-secret': 'arn:aws:secretsmanager:eu-west-1:1:secret:key',
  '--address': '203.0.113.7:9410',
  '--port': '9410',
  '--data-port': '9411',
  '--region': 'eu-west-1',
};

let root: string;
let bin: string;

/** A program that notes how it was called, then runs `body`. */
function stub(name: string, body: string) {
  fs.writeFileSync(path.join(bin, name), `#!/bin/bash\necho "${name} $*" >> ${root}/calls\n${body}\n`, { mode: 0o755 });
}

function install(args: Record<string, string> = ARGUMENTS) {
  const { status, stderr } = spawnSync('bash', [SCRIPT, ...Object.entries(args).flat()], {
    env: { PATH: `${bin}:/usr/bin:/bin`, IMAGINARY_ROOT: root, IMAGINARY_RETRY_DELAY: '0' },
    encoding: 'utf8',
  });
  const calls = fs.existsSync(`${root}/calls`) ? fs.readFileSync(`${root}/calls`, 'utf8').trim().split('\n') : [];
  return { status, stderr, calls: calls.map((call) => call.replaceAll(root, '')) };
}

beforeEach(() => {
  root = fs.mkdtempSync(path.join(os.tmpdir(), 'seed-root-'));
  bin = path.join(root, 'bin');
  fs.mkdirSync(bin);
  stub('node-24', '');
  stub('systemctl', '');
  stub('dnf', '');
  stub('aws', 'for last; do :; done; echo "from $5" > "$last"'); // aws s3 cp --region R URL FILE
});

afterEach(() => fs.rmSync(root, { recursive: true }));

test('installs the files and a unit, and starts it', () => {
  const { status, calls } = install();
  expect(status).toBe(0);
  expect(calls).toEqual([
    'aws s3 cp --region eu-west-1 s3://bucket/seed.js /opt/imaginary/seed.js.new',
    'aws s3 cp --region eu-west-1 s3://bucket/native.node /opt/imaginary/native.node.new',
    'aws s3 cp --region eu-west-1 s3://bucket/manifest.json /opt/imaginary/manifest.json.new',
    'systemctl daemon-reload',
    'systemctl enable imaginary-seed.service',
    'systemctl restart imaginary-seed.service',
  ]);
  expect(fs.readdirSync(`${root}/opt/imaginary`).sort()).toEqual(['manifest.json', 'native.node', 'seed.js']);
  expect(fs.readFileSync(`${root}/opt/imaginary/seed.js`, 'utf8')).toBe('from s3://bucket/seed.js\n');
  const unit = fs.readFileSync(`${root}/etc/systemd/system/imaginary-seed.service`, 'utf8');
  expect(unit).toContain(
    'ExecStart=/usr/bin/node-24 /opt/imaginary/seed.js --manifest /opt/imaginary/manifest.json --listen 0.0.0.0:9410 ' +
      '--data-listen 0.0.0.0:9411 --address 203.0.113.7:9410 --key-secret arn:aws:secretsmanager:eu-west-1:1:secret:key --region eu-west-1\n',
  );
  expect(unit).toContain('Restart=always');
  expect(unit).toContain('DynamicUser=yes');
});

test('with a standby: the unit names the other seed and the table', () => {
  const { status } = install({ ...ARGUMENTS, '--standby': '203.0.113.8:9410', '--lease-table': 'Lease' });
  expect(status).toBe(0);
  const unit = fs.readFileSync(`${root}/etc/systemd/system/imaginary-seed.service`, 'utf8');
  expect(unit).toMatch(/^ExecStart=.* --region eu-west-1 --standby 203\.0\.113\.8:9410 --lease-table Lease$/m);
});

test('the second seed is told so', () => {
  install({ ...ARGUMENTS, '--standby': '203.0.113.7:9410', '--lease-table': 'Lease', '--second': 'yes' });
  const unit = fs.readFileSync(`${root}/etc/systemd/system/imaginary-seed.service`, 'utf8');
  expect(unit).toMatch(/^ExecStart=.* --standby 203\.0\.113\.7:9410 --lease-table Lease --second$/m);
});

test.each([
  ['--standby', '--lease-table'],
  ['--lease-table', '--standby'],
])('says that with %s %s is missing', (option, other) => {
  const { status, stderr, calls } = install({ ...ARGUMENTS, [option]: 'x' });
  expect(status).not.toBe(0);
  expect(stderr).toContain(`${other} is missing`);
  expect(calls).toEqual([]);
});

test('a second run replaces the files', () => {
  install();
  const { status } = install({ ...ARGUMENTS, '--manifest': 's3://bucket/newer.json' });
  expect(status).toBe(0);
  expect(fs.readFileSync(`${root}/opt/imaginary/manifest.json`, 'utf8')).toBe('from s3://bucket/newer.json\n');
});

test('retries while the network is not there', () => {
  stub('aws', `[ $(grep -c ^aws ${root}/calls) -ge 3 ] || exit 1; for last; do :; done; echo "from $5" > "$last"`);
  const { status, calls } = install();
  expect(status).toBe(0);
  expect(calls.filter((call) => call.startsWith('aws'))).toHaveLength(5);
});

test('keeps the old program and the old manifest when the new manifest cannot be had', () => {
  install();
  stub('aws', 'case $5 in *.json) exit 1 ;; esac; for last; do :; done; echo new > "$last"');
  const { status } = install();
  expect(status).not.toBe(0);
  expect(fs.readFileSync(`${root}/opt/imaginary/seed.js`, 'utf8')).toBe('from s3://bucket/seed.js\n');
});

test('installs Node.js where it is missing', () => {
  fs.rmSync(path.join(bin, 'node-24'));
  const { calls } = install();
  expect(calls[0]).toBe('dnf install -y nodejs24');
});

test.each(Object.keys(ARGUMENTS))('says that %s is missing', (option) => {
  const args: Record<string, string> = { ...ARGUMENTS };
  delete args[option];
  const { status, stderr, calls } = install(args);
  expect(status).not.toBe(0);
  expect(stderr).toContain(`${option} is missing`);
  expect(calls).toEqual([]);
});

test('refuses an option that it does not know', () => {
  const { status, stderr } = install({ ...ARGUMENTS, '--verbose': 'yes' });
  expect([status, stderr]).toEqual([2, 'install.sh: unknown option --verbose\n']);
});

test('tells the seed which secrets have certificates', () => {
  install({ ...ARGUMENTS, '--tls-secret': 'web-443=arn:aws:secretsmanager:eu-north-1:1:secret:Web-AbCdEf' });
  const unit = fs.readFileSync(`${root}/etc/systemd/system/imaginary-seed.service`, 'utf8');
  expect(unit).toMatch(/ --tls-secret web-443=arn:aws:secretsmanager:eu-north-1:1:secret:Web-AbCdEf$/m);
});

/**
 * `npm pack`, then README's "Start your own" in an empty folder, line by line, with the tarball in place of the
 * package's name.
 */
import { execFile } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { promisify } from 'node:util';

jest.setTimeout(300_000);

const root = resolve(__dirname, '../..');
const run = promisify(execFile);
const folder = mkdtempSync(join(tmpdir(), 'imaginary-pack-'));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

/** The lines of the first shell block below a heading. */
function linesBelow(heading: string): string {
  const readme = readFileSync(join(root, 'README.md'), 'utf8');
  const block = new RegExp(`^## ${heading}\\n[^]*?^\`\`\`sh\\n([^]*?)^\`\`\``, 'm').exec(readme);
  return block![1];
}

test('the package has all that it names and nothing else, and the lines of "Start your own" work with it', async () => {
  const packed = await run('npm', ['pack', '--json', '--pack-destination', folder], { cwd: root, maxBuffer: 2 ** 26 });
  const [{ filename, files }] = JSON.parse(packed.stdout) as [{ filename: string; files: Array<{ path: string }> }];
  const own = files.map(({ path }) => path).filter((path) => !path.startsWith('node_modules/'));
  const unexpected = own.filter(
    (path) =>
      !/^(package\.json|README\.md|LICENSE|API\.md|\.jsii)$/.test(path) &&
      !/^lib\/(index|constructs\/.*|contract\/(fields|manifest\/.*))\.(js|d\.ts)$/.test(path) &&
      !/^lambda-layers\/(supervisor|shim)\/(x86_64|arm64)\/imaginary\/[a-z-]+\.(js|node|so|cache)$/.test(path) &&
      !/^assets\/(cli|local|seed|instance|native)\/([a-z0-9_]+\/)?[a-z-]+(\.js|\.sh)?$/.test(path),
  );
  expect(unexpected).toEqual([]);
  for (const path of ['lib/index.js', 'lib/index.d.ts', '.jsii', 'assets/cli/imaginary.js'])
    expect(own).toContain(path);

  // Where there is no registry: the package from its tarball, what it goes with from this repository.
  const install = `echo '{}' > package.json
npm install --offline --no-audit --no-fund --legacy-peer-deps '${join(folder, filename)}'
for name in aws-cdk-lib constructs; do ln -s '${root}/node_modules/'$name node_modules/$name; done
ln -s '${root}/node_modules/.bin/tsx' node_modules/.bin/tsx`;
  const lines = linesBelow('Start your own');
  const offline = lines.replace(/^npm install .*$/m, install);
  expect(offline).not.toBe(lines);
  const script = `set -eu\ntrap 'cd ${folder}/shop && npx imaginary down > /dev/null 2>&1 || true' EXIT\n${offline}`;
  const { stdout } = await run('bash', ['-c', script], { cwd: folder });
  expect(stdout).toMatch(/^hello$/m);
});

import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { parseManifest } from '../../../src/contract/manifest';
import { readAssembly, readManifest } from '../../../src/local';
import { translateManifest } from '../../../src/local/import/translate';
import { builtLayer } from '../../../src/local/paths';

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'imaginary-assembly-'));
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

const write = (path: string, content: unknown) => {
  const file = join(folder, path);
  mkdirSync(dirname(file), { recursive: true });
  writeFileSync(file, typeof content === 'string' ? content : JSON.stringify(content));
  return file;
};
const host = { name: 'web', address: '100.64.1.1', functionName: 'shop-web', command: ['nginx'] };
const manifest = (name = 'shop', hosts: object[] = [host]) => ({ version: 1, cluster: { name }, hosts });
const code = (key: string) => ({ S3Bucket: 'assets', S3Key: key });

/** What the constructs make of one cluster, less what is of no concern here. */
function stack(name: string, cluster: object, functions: Record<string, object> = { Web: webFunction() }, at = '') {
  write(`${at}asset.${name}.json`, cluster);
  mkdirSync(join(folder, at, 'asset.code'), { recursive: true });
  mkdirSync(join(folder, at, 'asset.tools'), { recursive: true });
  write(`${at}${name}.assets.json`, {
    files: Object.fromEntries(
      ['code', 'tools'].map((asset) => [
        asset,
        { source: { path: `asset.${asset}` }, destinations: { here: { objectKey: `${asset}.zip` } } },
      ]),
    ),
  });
  write(`${at}${name}.template.json`, {
    Resources: {
      Seed: { Type: 'AWS::EC2::Instance', Metadata: { 'imaginary:manifest': { path: `asset.${name}.json` } } },
      Own: layer('Imaginary Machines: supervisor', 'elsewhere.zip'),
      Tools: layer('tools', 'tools.zip'),
      ...Object.fromEntries(
        Object.entries(functions).map(([id, Properties]) => [id, { Type: 'AWS::Lambda::Function', Properties }]),
      ),
    },
  });
  return [name, { type: 'aws:cloudformation:stack', properties: { templateFile: `${name}.template.json` } }] as const;
}
const layer = (Description: string, key: string) => ({
  Type: 'AWS::Lambda::LayerVersion',
  Properties: { Description, Content: code(key) },
});
const webFunction = (more: object = {}) => ({
  FunctionName: 'shop-web',
  Handler: '/opt/imaginary/handler.handler',
  Code: code('code.zip'),
  Layers: [{ Ref: 'Own' }, { Ref: 'Tools' }],
  MemorySize: 512,
  Timeout: 60,
  ReservedConcurrentExecutions: 1,
  Environment: { Variables: { COLOR: 'green', TABLE: { Ref: 'Table' }, KEY: '{{resolve:ssm:key}}' } },
  ...more,
});
const assembly = (...stacks: ReadonlyArray<readonly [string, object]>) =>
  write('manifest.json', { version: '53.0.0', artifacts: Object.fromEntries(stacks) });
const error = (what: () => unknown) => {
  try {
    what();
  } catch (problem) {
    return problem as { code: string; message: string; next?: string };
  }
  throw new Error('it did not fail');
};

test('a cluster with its functions: settings, code, own and other layers', () => {
  assembly(stack('Shop', manifest()));
  const { functions, ...application } = readAssembly(folder);
  expect(application).toMatchObject({ source: folder, manifest: { cluster: { name: 'shop' } } });
  expect(functions).toEqual([
    {
      name: 'shop-web',
      code: join(folder, 'asset.code'),
      // Ours are this package's, for this machine, whatever architecture was synthesised.
      layers: [builtLayer('supervisor'), builtLayer('shim'), join(folder, 'asset.tools')],
      handler: '/opt/imaginary/handler.handler',
      environment: { COLOR: 'green' },
      unknown: ['TABLE', 'KEY'],
      memorySize: 512,
      timeout: 60_000,
      reservedConcurrency: 1,
    },
  ]);
});

test('without reserved concurrency there is none', () => {
  assembly(stack('Shop', manifest(), { Web: webFunction({ ReservedConcurrentExecutions: undefined }) }));
  expect(readAssembly(folder).functions[0]).not.toHaveProperty('reservedConcurrency');
});

test('a cluster in a stage', () => {
  stack('Shop', manifest(), undefined, 'assembly-prod/');
  write('assembly-prod/manifest.json', {
    artifacts: { S: { type: 'aws:cloudformation:stack', properties: { templateFile: 'Shop.template.json' } } },
  });
  assembly(['prod', { type: 'cdk:cloud-assembly', properties: { directoryName: 'assembly-prod' } }]);
  expect(readAssembly(folder).functions).toMatchObject([{ code: join(folder, 'assembly-prod', 'asset.code') }]);
});

test('no cluster, and several: each one named, and one of them chosen', () => {
  assembly();
  expect(error(() => readAssembly(folder))).toMatchObject({
    code: 'no-cluster',
    message: expect.stringContaining(folder),
  });
  const other = manifest('other', []);
  assembly(stack('Shop', manifest()), stack('Other', other, {}));
  expect(error(() => readAssembly(folder))).toMatchObject({
    code: 'several-clusters',
    message: expect.stringMatching(/shop.*other/),
  });
  expect(readAssembly(folder, 'other').manifest.cluster.name).toBe('other');
  expect(error(() => readAssembly(folder, 'third')).message).toMatch(/third.*shop.*other/s);
});

test('what is missing is named with its file', () => {
  expect(error(() => readAssembly(join(folder, 'nowhere')))).toMatchObject({
    code: 'assembly',
    message: expect.stringContaining('nowhere'),
  });
  assembly(stack('Shop', manifest(), {}));
  expect(error(() => readAssembly(folder)).message).toContain('shop-web');
  assembly(stack('Shop', manifest(), { Web: webFunction({ Code: { ZipFile: 'exports' } }) }));
  expect(error(() => readAssembly(folder))).toMatchObject({
    code: 'assembly',
    message: expect.stringMatching(/Shop\.template\.json.*shop-web/),
  });
  assembly(stack('Shop', manifest()));
  rmSync(join(folder, 'asset.code'), { recursive: true });
  expect(error(() => readAssembly(folder)).message).toContain('asset.code');
  write('Shop.template.json', '{ no');
  expect(error(() => readAssembly(folder)).message).toContain('Shop.template.json');
});

test('a manifest alone: built-in layers, its folder as code, nothing reserved', () => {
  const file = write('manifest.json', manifest());
  const read = readManifest(file);
  expect(read.functions[0]).not.toHaveProperty('reservedConcurrency');
  expect(read).toMatchObject({
    source: file,
    functions: [
      {
        name: 'shop-web',
        code: folder,
        layers: [builtLayer('supervisor'), builtLayer('shim')],
        handler: '/opt/imaginary/handler.handler',
      },
    ],
  });
  expect(error(() => readManifest(join(folder, 'none.json')))).toMatchObject({ code: 'assembly' });
});

test('a manifest for a machine without file systems of its own names real folders, as whole paths only', () => {
  const hosts = [
    {
      ...host,
      workingDirectory: '/var/task/www',
      command: ['/opt/bin/tool', '--conf=/var/task/tool.conf:/var/task', '/srv/var/task', '/var/tasks'],
      environment: { ROOT: '/var/task' },
      remappedFiles: { '/var/task/etc': '/tmp/etc', '/etc/app': '/var/task/app' },
    },
  ];
  const fn = { ...readManifest(write('m.json', manifest())).functions[0], code: '/code/$&' };
  const [translated] = translateManifest(parseManifest(manifest('shop', hosts)), [fn], () => '/layers/1').hosts;
  expect(translated).toMatchObject({
    workingDirectory: '/code/$&/www',
    command: ['/layers/1/bin/tool', '--conf=/code/$&/tool.conf:/code/$&', '/srv/var/task', '/var/tasks'],
    environment: { ROOT: '/code/$&' },
    remappedFiles: { '/var/task/etc': '/tmp/etc', '/etc/app': '/code/$&/app' },
  });
});

describe('hosts that share a function', () => {
  const worker = (name: string, more: object = {}) => ({
    ...{ name, command: ['guest'], functionName: 'shop-worker', pooled: true, memorySize: 512, timeout: 60_000 },
    ...more,
  });
  const workers = manifest('shop', [worker('worker-0'), worker('worker-1')]);
  const fn = (more: object = {}) =>
    webFunction({ FunctionName: 'shop-worker', ReservedConcurrentExecutions: undefined, ...more });
  const isolated = { TenancyConfig: { TenantIsolationMode: 'PER_TENANT' } };

  test('in an assembly: the function once, with its tenants', () => {
    assembly(stack('Shop', workers, { Worker: fn(isolated) }));
    expect(readAssembly(folder).functions).toMatchObject([{ name: 'shop-worker', tenantIsolation: true }]);
  });

  test('a function that has no tenants, and one that has some for a host that is alone', () => {
    assembly(stack('Shop', workers, { Worker: fn() }));
    expect(error(() => readAssembly(folder))).toMatchObject({
      code: 'assembly',
      message: "the function shop-worker of host 'worker-0' is pooled, and has no tenant isolation in the template",
    });
    assembly(stack('Shop', manifest('shop', [worker('worker-0', { pooled: false })]), { Worker: fn(isolated) }));
    expect(error(() => readAssembly(folder)).message).toBe(
      "the function shop-worker of host 'worker-0' is not pooled, and has tenant isolation in the template",
    );
  });

  test('in a manifest: the function once, beside those of others', () => {
    const { functions } = readManifest(write('m.json', manifest('shop', [...workers.hosts, host])));
    expect(
      functions.map(({ name, tenantIsolation, memorySize, timeout }) => [name, tenantIsolation, memorySize, timeout]),
    ).toEqual([
      ['shop-worker', true, 512, 60_000],
      ['shop-web', undefined, 1_769, 900_000],
    ]);
  });

  test('without a file system of their own, the folders of the function are each host’s', () => {
    const file = write(
      'm.json',
      manifest('shop', [worker('worker-0', { command: ['/var/task/run'] }), worker('worker-1')]),
    );
    const { manifest: read, functions } = readManifest(file);
    const translated = translateManifest(read, functions, () => '/layers');
    expect(translated.hosts.map(({ workingDirectory }) => workingDirectory)).toEqual([folder, folder]);
    expect(translated.hosts[0].command).toEqual([join(folder, 'run')]);
  });
});

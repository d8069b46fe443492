/**
 * Projects, chosen with `--selectProjects`:
 *   unit        test/**             parts of the runtime, alone; fast, run in parallel: all that is not one of the others
 *   constructs  test/constructs/**  synthesis: Template tests, cdk-nag, props that must be refused
 *   e2e         test/e2e/**         real guests on the local platform; run with --runInBand, needs `npx projen bundle`
 * Their tests are `*.test.ts`, which `npm test` runs. A file that takes a minute is a `*.long.ts` of the projects
 * `unit-long` and `e2e-long`, which `npm run test:long` runs. What tests share is in test/support/setup/.
 */
const project = (name, folder, kind) => ({
  displayName: name,
  testEnvironment: 'node',
  testMatch: [`<rootDir>/test/${folder}/**/*.${kind}.ts`],
  transform: { '^.+\\.ts$': '<rootDir>/test/support/setup/esbuild-transform.js' },
  // Sources that are loaded late are named as they will be when they are bundled.
  moduleNameMapper: { '^(\\.{1,2}/.+)\\.js$': ['$1.js', '$1'] },
  setupFilesAfterEnv: ['<rootDir>/test/support/setup/slow.js'],
  clearMocks: true,
  // Built files and other people's packages: never collected, never watched.
  modulePathIgnorePatterns: ['<rootDir>/(dist|lib|lambda-layers|assets|examples)/'],
});

const NEITHER = '!(constructs|e2e)';

module.exports = {
  projects: [
    project('unit', NEITHER, 'test'),
    project('constructs', 'constructs', 'test'),
    project('e2e', 'e2e', 'test'),
    project('unit-long', NEITHER, 'long'),
    project('e2e-long', 'e2e', 'long'),
  ],
};

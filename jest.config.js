/**
 * Three projects, chosen with `--selectProjects`:
 *   unit        test/**             parts of the runtime, alone; fast, run in parallel: all that is not one of the others
 *   constructs  test/constructs/**  synthesis: Template tests, cdk-nag, props that must be refused
 *   e2e         test/e2e/**         real guests on the local platform; run with --runInBand, needs `npx projen bundle`
 * The names of the tests are `*.test.ts`; what they share is in test/support/setup/.
 */
const project = (name, folders, setup = []) => ({
  displayName: name,
  testEnvironment: 'node',
  testMatch: folders.map((folder) => `<rootDir>/test/${folder}/**/*.test.ts`),
  transform: { '^.+\\.ts$': '<rootDir>/test/support/setup/esbuild-transform.js' },
  // Sources that are loaded late are named as they will be when they are bundled.
  moduleNameMapper: { '^(\\.{1,2}/.+)\\.js$': ['$1.js', '$1'] },
  setupFilesAfterEnv: setup.map((file) => `<rootDir>/test/support/setup/${file}`),
  clearMocks: true,
  // Built files and other people's packages: never collected, never watched.
  modulePathIgnorePatterns: ['<rootDir>/(dist|lib|lambda-layers|assets|examples)/'],
});

module.exports = {
  projects: [
    project('unit', ['!(constructs|e2e)']),
    project('constructs', ['constructs'], ['slow.js']),
    project('e2e', ['e2e'], ['slow.js']),
  ],
};

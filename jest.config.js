/**
 * Three projects, chosen with `--selectProjects`:
 *   unit        test/unit/**        parts of the runtime, alone; fast, run in parallel
 *   constructs  test/constructs/**  synthesis: Template tests, cdk-nag, props that must be refused
 *   e2e         test/e2e/**         real guests on the local platform; run with --runInBand, needs `npx projen bundle`
 * The names of the tests are `*.test.ts`; what they share is in test/setup/.
 */
const project = (name, setup = []) => ({
  displayName: name,
  testEnvironment: 'node',
  testMatch: [`<rootDir>/test/${name}/**/*.test.ts`],
  transform: { '^.+\\.ts$': '<rootDir>/test/setup/esbuild-transform.js' },
  // Sources that are loaded late are named as they will be when they are bundled.
  moduleNameMapper: { '^(\\.{1,2}/.+)\\.js$': ['$1.js', '$1'] },
  setupFilesAfterEnv: setup.map((file) => `<rootDir>/test/setup/${file}`),
  clearMocks: true,
  // Built files and other people's packages: never collected, never watched.
  modulePathIgnorePatterns: ['<rootDir>/(dist|lib|lambda-layers|assets|examples)/'],
});

module.exports = {
  projects: [project('unit'), project('constructs', ['slow.js']), project('e2e', ['slow.js'])],
};

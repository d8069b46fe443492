/**
 * A cluster from the first command to the last, with the Node.js that runs the test. `npm run test:node` runs it with
 * others.
 */
import { readdirSync, readFileSync } from 'node:fs';
import { bootCluster, type TestCluster } from '../support/cluster';

const SERVER = 'require("node:http").createServer((_, answer) => answer.end(process.version)).listen(80)';

let cluster: TestCluster;
beforeAll(async () => {
  cluster = await bootCluster([{ name: 'web', command: ['node', '-e', SERVER] }]);
});
afterAll(() => cluster?.dispose());

/** Programs of the cluster on the machine: the arguments of each. */
const programs = () =>
  readdirSync('/proc')
    .filter((pid) => /^\d+$/.test(pid))
    .map((pid) => {
      try {
        return readFileSync(`/proc/${pid}/cmdline`, 'utf8').split('\0');
      } catch {
        return []; // it has ended
      }
    })
    .filter((line) => line.some((argument) => argument.startsWith(cluster.state)));

test('the platform and the seed run with it', () => {
  const nodes = programs().filter(([, script]) => /\.[jt]s$/.test(script));
  expect(nodes.map(([, script]) => script)).toContainEqual(expect.stringMatching(/seed/));
  expect(new Set(nodes.map(([program]) => program))).toEqual(new Set([process.execPath]));
});

test('a host has it, and answers when it is asked for the first time', async () => {
  const answer = await cluster.exec(['curl', '-sS', 'http://web/']);
  expect(answer).toEqual({ code: 0, stdout: process.version, stderr: '' });
});

test('a command under exec has it', async () => {
  const answer = await cluster.exec(['node', '-p', 'process.version']);
  expect(answer).toEqual({ code: 0, stdout: `${process.version}\n`, stderr: '' });
});

test('ps shows the host, and no command warns of anything', async () => {
  const { code, stdout, stderr } = await cluster.imaginary(['ps']);
  expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
  expect(stdout).toMatch(/^web +100\.64\.\d+\.\d+ +running +\S+ +1 +\d+ +\S+ +80$/m);
});

test('down ends it', async () => {
  expect(await cluster.down()).toMatchObject({ code: 0, stderr: '' });
  expect(programs()).toEqual([]);
});

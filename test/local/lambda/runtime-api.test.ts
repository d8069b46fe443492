/**
 * Network `flat`: a sandbox's Runtime API is a port of this machine's loopback interface. Only the sandbox may use it.
 */
import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import { type Booted, bootFunctions, plain } from '../boot';

const NOBODY = 65_534;
/** Says who asks, as a curl of somebody's would: what became of a request, without waiting for an invocation. */
const ASK = `
const http = require('node:http');
const [host, port] = process.argv[1].split(':');
const send = (method, path) => new Promise((done) => {
  const request = http.request({ host, port, method, path: '/2018-06-01/runtime/' + path, timeout: 2000 }, (response) => {
    done(response.statusCode);
    response.destroy();
  });
  request.on('error', (error) => done(error.code));
  request.on('timeout', () => { request.destroy(); done('waits'); });
  request.end();
});
(async () => {
  const answers = [];
  for (const [method, path] of [['GET', 'invocation/next'], ['POST', 'invocation/x/response'], ['POST', 'invocation/x/error'],
    ['POST', 'init/error'], ['GET', 'nothing']]) answers.push(await send(method, path));
  process.stdout.write(JSON.stringify(answers));
})();
`;
const REFUSED = Array(5).fill('ECONNRESET');

describe.each(['auto', 'none'] as const)('sandbox: %s', (sandbox) => {
  let booted: Booted;
  let api: string;
  beforeAll(async () => {
    booted = await bootFunctions([plain(), plain({ name: 'other' })], { sandbox });
    api = (await booted.call({ do: 'environment' })).AWS_LAMBDA_RUNTIME_API;
  }, 30_000);
  afterAll(() => booted?.dispose());
  const ask = async (name: string) =>
    JSON.parse(await booted.call({ do: 'run', command: [process.execPath, '-e', ASK, api] }, name));
  /** The sandbox goes on, with its own invocations. */
  const isWell = async () => {
    const { invocations } = await booted.call({ do: 'echo' });
    expect((await booted.call({ do: 'echo' })).invocations).toBe(invocations + 1);
  };

  test.each([
    ['the platform’s user', undefined],
    ['another user', NOBODY],
  ] as const)('%s, outside of every sandbox, is refused', async (_, uid) => {
    if (uid !== undefined && process.getuid?.() !== 0) return;
    const asked = await promisify(execFile)(process.execPath, ['-e', ASK, api], { uid, gid: uid });
    expect(JSON.parse(asked.stdout)).toEqual(REFUSED);
    await isWell();
  });

  test('the guest of another host is refused', async () => {
    expect(await ask('other')).toEqual(REFUSED);
    await isWell();
  });

  test('a process that the function has started is the function, as on Lambda', async () => {
    const own = await booted.call({
      do: 'run',
      command: [
        process.execPath,
        '-e',
        ASK.replace(/\['GET', 'invocation.next'\], /, '').replace(/\['POST', 'init.error'\],/, ''),
        api,
      ],
    });
    expect(JSON.parse(own)).toEqual([400, 400, 404]);
    await isWell();
  });
});

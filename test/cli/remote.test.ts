/** A cluster elsewhere: which options belong together, and where its key comes from. */
import { once } from 'node:events';
import { writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { clusterKeySource } from '../../src/cli/target/cluster-key';
import { imaginary, temporaryFolder } from './run';

const KEY = 'a-random-string-of-32-characters';
const AT = ['--seed', '127.0.0.1:1'];

test.each([
  [['--key', 'file', 'db:1'], '--key is given without --seed'],
  [['--standby', 'a:1', 'db:1'], '--standby is given without --seed'],
  [[...AT, '--state', '.', 'db:1'], '--state is given beside --seed'],
  [[...AT, 'db:1'], '--key is missing, and IMAGINARY_KEY is not set'],
  [[...AT, '--key', 'arn:aws:s3:::bucket', 'db:1'], "--key is 'arn:aws:s3:::bucket', which is no ARN of a secret"],
  [['--seed', '127.0.0.1', 'db:1'], "'127.0.0.1' is invalid. It must be like 192.0.2.7:9410."],
  [['--seed', 'a:70000', 'db:1'], "'a:70000' is invalid. It must be like 192.0.2.7:9410."],
])('forward %j: exit code 2', (args, message) => {
  const { code, stdout, stderr } = imaginary(['forward', ...args]);
  expect([code, stdout]).toEqual([2, '']);
  expect(stderr).toContain(message);
});

test('open needs a port there', () => {
  const { code, stderr } = imaginary(['open', ...AT, '--key', 'env:KEY', 'web'], { env: { KEY } });
  expect(code).toBe(2);
  expect(stderr).toContain('--port is missing');
});

describe('the key', () => {
  const folder = temporaryFolder();
  afterEach(() => {
    delete process.env.CLUSTER_KEY_OF_TEST;
  });

  test('of a file and of a variable: the newest one', async () => {
    const file = join(folder, 'key');
    writeFileSync(file, `${KEY}\n${KEY}-older\n`);
    expect(String(await clusterKeySource(file)())).toBe(KEY);
    process.env.CLUSTER_KEY_OF_TEST = KEY;
    expect(String(await clusterKeySource('env:CLUSTER_KEY_OF_TEST')())).toBe(KEY);
  });

  test.each([
    ['env:CLUSTER_KEY_OF_TEST', /the variable CLUSTER_KEY_OF_TEST is not set/],
    [join(folder, 'absent'), /no such file/],
    ['/dev/null', /0 characters; allowed: 16 or more/],
  ])('%s is refused', async (source, message) => {
    await expect(clusterKeySource(source)()).rejects.toMatchObject({
      message: expect.stringMatching(message),
      exitCode: 1,
    });
  });

  test('of a secret: asked by the SDK, with the credentials of the environment', async () => {
    const asked: unknown[] = [];
    const server = createServer((request, answer) => {
      let body = '';
      request.on('data', (text) => (body += text));
      request.on('end', () => {
        const { SecretId } = JSON.parse(body);
        asked.push([request.headers['x-amz-target'], SecretId, request.headers.authorization?.split('/')[2]]);
        const known = SecretId.endsWith('key');
        answer.writeHead(known ? 200 : 400, { 'content-type': 'application/x-amz-json-1.1' });
        answer.end(
          JSON.stringify(known ? { SecretString: KEY } : { __type: 'AccessDeniedException', message: 'not you' }),
        );
      });
    }).listen(0, '127.0.0.1');
    await once(server, 'listening');
    const before = { ...process.env };
    Object.assign(process.env, {
      AWS_ENDPOINT_URL_SECRETS_MANAGER: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
      AWS_ACCESS_KEY_ID: 'AKID',
      AWS_SECRET_ACCESS_KEY: 'secret',
    });
    try {
      const arn = (name: string) => `arn:aws:secretsmanager:eu-west-3:123456789012:secret:${name}`;
      expect(String(await clusterKeySource(arn('key'))())).toBe(KEY);
      await expect(clusterKeySource(arn('other'))()).rejects.toMatchObject({
        message: expect.stringContaining('not you'),
      });
      expect(asked).toEqual(['key', 'other'].map((name) => ['secretsmanager.GetSecretValue', arn(name), 'eu-west-3']));
    } finally {
      process.env = before;
      server.close();
    }
  });
});

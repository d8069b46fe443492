/** A port that the seed binds itself is closed until there is a certificate. */
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { connect, createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseManifest } from '../../../../../src/contract/manifest';
import { type Seed, startSeed } from '../../../../../src/runtime/seed/seed';
import { makeCertificate } from '../../../../support/certificates';
import { CLUSTER_KEY } from '../../cluster';

const freePort = () =>
  new Promise<number>((resolve) => {
    const server = createServer().listen(0, '0.0.0.0', () => {
      const { port } = server.address() as { port: number };
      server.close(() => resolve(port));
    });
  });

const outcome = (port: number) =>
  new Promise<string>((resolve) => {
    const socket = connect(port, '127.0.0.1', () => {
      resolve('connected');
      socket.destroy();
    }).on('error', (error: NodeJS.ErrnoException) => resolve(error.code ?? ''));
  });

let seed: Seed | undefined;
const folder = mkdtempSync(join(tmpdir(), 'imaginary-closed-'));
afterAll(async () => {
  await seed?.stop();
  rmSync(folder, { recursive: true });
});

test('closed while the secret has none, with an event; open after a reload', async () => {
  const port = await freePort();
  const web = makeCertificate(folder, ['web.test']);
  let [text, asked] = ['nothing', ''];
  const logs: string[] = [];
  seed = await startSeed({
    manifest: parseManifest({
      version: 1,
      cluster: { name: 'shop', cidr: '100.64.0.0/16' },
      seed: {},
      hosts: [{ name: 'web', functionName: 'shop-web', address: '100.64.1.1', command: ['x'] }],
      exposes: [{ host: 'web', port, tls: { secret: 'web-443' } }],
    }),
    keys: async () => [CLUSTER_KEY],
    listen: '127.0.0.1:0',
    invoke: new Promise(() => undefined),
    log: (_level, message, detail) => void logs.push(`${message} ${detail?.reason ?? ''}`),
    secret: async (name) => {
      asked = name;
      return text;
    },
  });
  await seed.reload();
  expect(asked).toBe('web-443');
  expect(logs).toContain('certificate-failed secret web-443: there is no PEM block CERTIFICATE');
  expect(await outcome(port)).toBe('ECONNREFUSED');
  text = readFileSync(web.certificateFile, 'utf8') + readFileSync(web.keyFile, 'utf8');
  await seed.reload();
  expect(await outcome(port)).toBe('connected');
});

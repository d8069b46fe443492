import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { bootCluster, type TestCluster } from '../support/cluster';

const guest = (name: string) => readFileSync(join(__dirname, 'guests', name), 'utf8');

let cluster: TestCluster;
beforeAll(async () => {
  cluster = await bootCluster([{ name: 'echo', command: ['/usr/bin/python3', 'echo.py', '7000', '0.5'] }], {
    files: { 'echo.py': guest('echo.py'), 'herd.py': guest('herd.py') },
  });
});
afterAll(() => cluster?.dispose());

test('200 clients in 20 processes that connect to one imagined host at once: invoked once, all served', async () => {
  expect(await cluster.host('echo')).toMatchObject({ state: 'imagined', allocations: 0 });
  const run = await cluster.exec(['/usr/bin/python3', join(cluster.folder, 'herd.py'), 'echo', '7000', '20', '10']);
  expect(run.stderr).toBe('');
  expect(JSON.parse(run.stdout)).toEqual({ served: 200, failed: [] });
  expect(await cluster.host('echo')).toMatchObject({ allocations: 1 });
  const events = await cluster.events();
  expect(events.filter((e) => e.host === 'echo' && e.event === 'invoked')).toHaveLength(1);
});

import { join } from 'node:path';
import { App, AssetHashType, DockerImage, Duration, Stack } from 'aws-cdk-lib';
import { Code } from 'aws-cdk-lib/aws-lambda';
import { ImaginaryCluster, Ready } from 'cdk-imaginary-machines';
import { buildSync } from 'esbuild';

const app = new App();
const stack = new Stack(app, 'Shop');
const shop = new ImaginaryCluster(stack, 'Cluster', { clusterName: 'shop' });

const folder = (host: string) => join(__dirname, 'hosts', host);
const files = (host: string) => Code.fromAsset(folder(host));
/** A Node.js program and its libraries (pg) as one file, as `NodejsFunction` has it. */
const bundled = (host: string, file: string) =>
  Code.fromAsset(folder(host), {
    assetHashType: AssetHashType.OUTPUT,
    bundling: {
      image: DockerImage.fromRegistry('none'), // never used: esbuild is here
      local: {
        tryBundle: (outputDir) => {
          buildSync({
            entryPoints: [join(folder(host), file)],
            outfile: join(outputDir, file),
            ...{ bundle: true, platform: 'node', target: 'node20', external: ['pg-native'] },
          });
          return true;
        },
      },
    },
  });
// Short, so that the demo shows suspension and release within seconds; the defaults are a minute and ten minutes.
const idle = { idleTimeout: Duration.seconds(2), releaseTimeout: Duration.seconds(8) };

shop.addHost('web', {
  code: files('web'),
  command: ['nginx', '-p', '.', '-c', 'nginx.conf', '-e', 'stderr'],
  ...idle,
});
// A port of the seed, for browsers. On this machine `imaginary up` prints where.
shop.expose('web', { port: 80 });
shop.addHost('api', {
  code: bundled('api', 'server.js'),
  command: ['node', 'server.js'],
  environment: { REDIS: 'redis:6379', DATABASE: 'postgres://shop@db/postgres' },
  ...idle,
});
shop.addHost('redis', { code: files('redis'), command: ['redis-server', 'redis.conf'], ...idle });
// Nobody connects to a queue consumer: it runs when its queue does.
shop.addHost('worker', {
  code: files('worker'),
  command: ['python3', 'worker.py'],
  environment: { REDIS: 'redis:6379' },
  startWith: ['redis'],
  ...idle,
});
shop.addHost('db', {
  code: files('db'),
  command: ['sh', '-eu', 'server.sh'],
  // It listens before it has recovered.
  readyWhen: Ready.command(['sh', '-c', '$(echo /usr/lib/postgresql/*/bin/pg_isready) -h localhost']),
  ...idle,
});

import { join } from 'node:path';
import { App, Duration, Stack } from 'aws-cdk-lib';
import { Code } from 'aws-cdk-lib/aws-lambda';
import { ImaginaryCluster } from 'cdk-imaginary-machines';

const app = new App();
const stack = new Stack(app, 'Shop');
const shop = new ImaginaryCluster(stack, 'Cluster', { clusterName: 'shop' });

const files = (host: string) => Code.fromAsset(join(__dirname, 'hosts', host));
// Short, so that the demo shows suspension and release within seconds; the defaults are a minute and ten minutes.
const idle = { idleTimeout: Duration.seconds(2), releaseTimeout: Duration.seconds(3) };

shop.addHost('web', {
  code: files('web'),
  command: ['nginx', '-p', '.', '-c', 'nginx.conf', '-e', 'stderr'],
  ...idle,
});
shop.addHost('api', {
  code: files('api'),
  command: ['node', 'server.js'],
  environment: { REDIS: 'redis:6379', WORKER: 'http://worker:9000' },
  ...idle,
});
shop.addHost('redis', { code: files('redis'), command: ['redis-server', 'redis.conf'], ...idle });
shop.addHost('worker', {
  code: files('worker'),
  command: ['python3', 'worker.py'],
  environment: { REDIS: 'redis:6379' },
  ...idle,
});

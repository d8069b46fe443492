import { join } from 'node:path';
import { App, Duration, Stack } from 'aws-cdk-lib';
import { Code } from 'aws-cdk-lib/aws-lambda';
import { ImaginaryCluster } from 'cdk-imaginary-machines';

const app = new App();
const stack = new Stack(app, 'Burst');
const cluster = new ImaginaryCluster(stack, 'Cluster', { clusterName: 'burst' });

const hosts = cluster.addHosts('api', {
  count: 6,
  code: Code.fromAsset(join(__dirname, 'hosts/api')),
  command: ['node', 'server.js'],
  // Short, so that the end of a burst shows within seconds; the default is a minute.
  idleTimeout: Duration.seconds(2),
});
// Four connections make a host full: the fifth imagines one more.
cluster.addService('api', { hosts, maxConnections: 4 });

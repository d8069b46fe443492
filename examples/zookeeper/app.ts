import { join } from 'node:path';
import { App, Stack } from 'aws-cdk-lib';
import { Code } from 'aws-cdk-lib/aws-lambda';
import { ImaginaryCluster } from 'cdk-imaginary-machines';

const app = new App();
const stack = new Stack(app, 'ZooKeeper');
const quorum = new ImaginaryCluster(stack, 'Cluster', { clusterName: 'zookeeper' });

for (const name of ['zk-1', 'zk-2', 'zk-3']) {
  quorum.addHost(name, { code: Code.fromAsset(join(__dirname, 'hosts/zk')), command: ['sh', '-eu', 'server.sh'] });
}

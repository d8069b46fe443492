import { join } from 'node:path';
import { App, Duration, Stack } from 'aws-cdk-lib';
import { Code } from 'aws-cdk-lib/aws-lambda';
import { ImaginaryCluster, StartBarrier } from 'cdk-imaginary-machines';

const app = new App();
const stack = new Stack(app, 'Batch');
const batch = new ImaginaryCluster(stack, 'Cluster', { clusterName: 'batch' });

const workers = ['worker-0', 'worker-1', 'worker-2', 'worker-3'];
for (const name of workers) {
  batch.addHost(name, {
    code: Code.fromAsset(join(__dirname, 'hosts/worker')),
    command: ['python3', '-u', 'worker.py'],
    // Whichever is needed first allocates the others, and none begins before all are there.
    startBarrier: StartBarrier.hosts(workers.filter((other) => other !== name)),
    // Short, so that the batch is gone within seconds; the defaults are a minute and ten minutes.
    idleTimeout: Duration.seconds(2),
    releaseTimeout: Duration.seconds(4),
  });
}

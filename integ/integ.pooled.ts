/** A thousand hosts in one function with tenant isolation. */
import * as path from 'node:path';
import { IntegTest } from '@aws-cdk/integ-tests-alpha';
import { App, CfnOutput, Stack } from 'aws-cdk-lib';
import * as lambda from 'aws-cdk-lib/aws-lambda';
import { DISABLE_CREATION_STACK_TRACES } from 'aws-cdk-lib/cx-api';
import { ImaginaryCluster } from '../src';

// Nothing of the machine that writes the snapshot: no stack traces, no tree.
const app = new App({ treeMetadata: false, context: { [DISABLE_CREATION_STACK_TRACES]: true } });
const stack = new Stack(app, 'integ-imaginary-pooled');
const cluster = new ImaginaryCluster(stack, 'Cluster', { clusterName: 'integ-pooled' });
const workers = cluster.addHosts('worker', {
  code: lambda.Code.fromAsset(path.join(__dirname, 'guest')),
  command: ['node', 'server.js'],
  count: 1_000,
  pooled: true,
  memorySize: 512,
});
for (const [i, worker] of workers.entries()) worker.addEnvironment('SHARD', `${i}`);
new CfnOutput(stack, 'SeedEndpoint', { value: cluster.seedEndpoint });

new IntegTest(app, 'Integ', { testCases: [stack] });

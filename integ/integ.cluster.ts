/** A cluster with every default: three hosts, their functions, the seed in its own VPC. */
import * as path from 'node:path';
import { IntegTest } from '@aws-cdk/integ-tests-alpha';
import { App, CfnOutput, Stack } from 'aws-cdk-lib';
import * as lambda from 'aws-cdk-lib/aws-lambda';
import { DISABLE_CREATION_STACK_TRACES } from 'aws-cdk-lib/cx-api';
import { ImaginaryCluster } from '../src';

// Nothing of the machine that writes the snapshot: no stack traces, no tree.
const app = new App({ treeMetadata: false, context: { [DISABLE_CREATION_STACK_TRACES]: true } });
const stack = new Stack(app, 'integ-imaginary-cluster');
const cluster = new ImaginaryCluster(stack, 'Cluster', { clusterName: 'integ' });
const code = lambda.Code.fromAsset(path.join(__dirname, 'guest'));

cluster.addHost('web', { code, command: ['node', 'server.js'], environment: { PORT: '80' }, aliases: ['www'] });
cluster.addHosts('worker', {
  code,
  command: ['node', 'server.js'],
  count: 2,
  architecture: lambda.Architecture.ARM_64,
  memorySize: 512,
});
new CfnOutput(stack, 'SeedEndpoint', { value: cluster.seedEndpoint });

new IntegTest(app, 'Integ', { testCases: [stack] });

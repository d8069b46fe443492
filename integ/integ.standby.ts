/** A cluster with a standby seed: two instances in two zones, and the table of the lease that one of them holds. */
import * as path from 'node:path';
import { IntegTest } from '@aws-cdk/integ-tests-alpha';
import { App, CfnOutput, Stack } from 'aws-cdk-lib';
import * as lambda from 'aws-cdk-lib/aws-lambda';
import { DISABLE_CREATION_STACK_TRACES } from 'aws-cdk-lib/cx-api';
import { ImaginaryCluster } from '../src';

// Nothing of the machine that writes the snapshot: no stack traces, no tree.
const app = new App({ treeMetadata: false, context: { [DISABLE_CREATION_STACK_TRACES]: true } });
const stack = new Stack(app, 'integ-imaginary-standby');
const cluster = new ImaginaryCluster(stack, 'Cluster', { clusterName: 'integ-standby', seedStandby: true });
const code = lambda.Code.fromAsset(path.join(__dirname, 'guest'));

cluster.addHost('web', { code, command: ['node', 'server.js'], environment: { PORT: '80' } });
new CfnOutput(stack, 'SeedEndpoint', { value: cluster.seedEndpoint });

new IntegTest(app, 'Integ', { testCases: [stack] });

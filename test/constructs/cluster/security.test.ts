import { Validations } from 'aws-cdk-lib';
import * as ec2 from 'aws-cdk-lib/aws-ec2';
import * as s3 from 'aws-cdk-lib/aws-s3';
import { AwsSolutionsChecks } from 'cdk-nag';
import type { IConstruct } from 'constructs';
import { HOST, newCluster } from '../support';

/** What AwsSolutions finds that nobody acknowledged, as `rule: construct`. */
function findings(scope: IConstruct): string[] {
  const { violations } = new AwsSolutionsChecks().validateScope(scope);
  return violations.flatMap((violation) =>
    violation.violatingResources.map(({ constructPath }) => `${violation.ruleName}: ${constructPath}`),
  );
}

/** What the library acknowledges, as `rule: construct`. */
function acknowledged(scope: IConstruct): string[] {
  const found = new Set<string>();
  for (const { node } of scope.node.findAll()) {
    for (const { type, data } of node.metadata) {
      if (type !== Validations.ACKNOWLEDGED_RULES_METADATA_KEY) continue;
      const rules = Object.keys(data).map((rule) => rule.replace(/^annotation::/i, '')); // newer versions: Annotation
      for (const rule of rules) if (rule.startsWith('AwsSolutions-')) found.add(`${rule}: ${node.path}`);
    }
  }
  return [...found].sort();
}

test('AwsSolutions finds nothing, and what the library acknowledges is known', () => {
  const { stack, cluster } = newCluster();
  cluster.addHost('api', HOST);
  expect(findings(stack)).toEqual([]);
  expect(acknowledged(stack)).toEqual([
    'AwsSolutions-EC23: Shop/Cluster/Seed/SecurityGroup',
    'AwsSolutions-EC28: Shop/Cluster/Seed/Instance',
    'AwsSolutions-EC29: Shop/Cluster/Seed/Instance',
    'AwsSolutions-IAM5[Resource::*]: Shop/Cluster/Seed/SessionManager',
    'AwsSolutions-SMG4: Shop/Cluster/Key',
  ]);
});

test('AwsSolutions finds nothing about a standby', () => {
  const { stack, cluster } = newCluster({ seedStandby: true });
  cluster.addHost('api', HOST);
  expect(findings(stack)).toEqual([]);
  expect(acknowledged(stack)).toEqual([
    'AwsSolutions-DDB3: Shop/Cluster/Seed/LeaseTable',
    'AwsSolutions-EC23: Shop/Cluster/Seed/SecurityGroup',
    'AwsSolutions-EC28: Shop/Cluster/Seed/Instance',
    'AwsSolutions-EC28: Shop/Cluster/Seed/StandbyInstance',
    'AwsSolutions-EC29: Shop/Cluster/Seed/Instance',
    'AwsSolutions-EC29: Shop/Cluster/Seed/StandbyInstance',
    'AwsSolutions-IAM5[Resource::*]: Shop/Cluster/Seed/SessionManager',
    'AwsSolutions-SMG4: Shop/Cluster/Key',
  ]);
});

test('AwsSolutions finds nothing about pooled hosts, in a VPC or not', () => {
  for (const inVpc of [false, true]) {
    const { stack, cluster } = newCluster();
    const vpc = inVpc ? new ec2.Vpc(stack, 'Vpc') : undefined;
    vpc?.addFlowLog('Log');
    cluster.addHosts('worker', { ...HOST, code: HOST.code, count: 3, pooled: true, vpc });
    expect(findings(stack)).toEqual([]);
    const role = 'AwsSolutions-IAM5[Resource::*]: Shop/Cluster/Pool-worker/Role/Resource';
    expect(acknowledged(stack).includes(role)).toBe(inVpc);
  }
});

test('AwsSolutions finds nothing about a host in a VPC', () => {
  const { stack, cluster } = newCluster();
  const vpc = new ec2.Vpc(stack, 'Vpc');
  vpc.addFlowLog('Log');
  cluster.addHost('api', { ...HOST, vpc });
  expect(findings(stack)).toEqual([]);
  expect(acknowledged(stack)).toContain('AwsSolutions-IAM5[Resource::*]: Shop/Cluster/api/Role/Resource');
});

test('the check finds what is wrong', () => {
  const { stack } = newCluster();
  new s3.Bucket(stack, 'Bucket');
  expect(findings(stack)).toContain('AwsSolutions-S1: Shop/Bucket/Resource');
});

/** What CloudFormation has of a host, or of pooled hosts together: the function, its role and its log group. */
import { Duration } from 'aws-cdk-lib';
import * as iam from 'aws-cdk-lib/aws-iam';
import * as lambda from 'aws-cdk-lib/aws-lambda';
import * as logs from 'aws-cdk-lib/aws-logs';
import type { Construct } from 'constructs';
import type { ManifestHost } from '../../contract/manifest';
import type { HostOptions } from '../host/host-options';
import { acknowledge } from './acknowledge';
import { layersFor } from './layers';

export interface HostResources {
  readonly lambdaFunction: lambda.Function;
  readonly role: iam.IRole;
  readonly logGroup: logs.ILogGroup;
}

export interface ResourcesRequest {
  readonly cluster: { readonly clusterName: string; readonly logRetention: logs.RetentionDays };
  /** Whose they are, for people: `host web`. */
  readonly whose: string;
  readonly options: HostOptions;
  /** What has been checked. */
  readonly entry: Pick<ManifestHost, 'memorySize' | 'timeout'> & { readonly functionName: string };
  readonly reserveConcurrency: boolean;
  readonly tenancyConfig?: lambda.TenancyConfig;
}

export function createResources(scope: Construct, request: ResourcesRequest): HostResources {
  const { cluster, whose, options, entry, reserveConcurrency, tenancyConfig } = request;
  const logGroup =
    options.logGroup ?? new logs.LogGroup(scope, 'Log', { retention: options.logRetention ?? cluster.logRetention });
  const of = `${whose} of the imaginary cluster ${cluster.clusterName}`;
  const role = roleFor(scope, of, options, logGroup);
  const architecture = options.architecture ?? lambda.Architecture.X86_64;
  const lambdaFunction = new lambda.Function(scope, 'Function', {
    functionName: entry.functionName,
    description: `${of[0].toUpperCase()}${of.slice(1)}`,
    runtime: options.runtime ?? lambda.Runtime.NODEJS_24_X,
    architecture,
    handler: '/opt/imaginary/handler.handler',
    code: options.code,
    layers: [...layersFor(scope, architecture), ...(options.layers ?? [])],
    role,
    logGroup,
    memorySize: entry.memorySize,
    ephemeralStorageSize: options.ephemeralStorageSize,
    timeout: Duration.millis(entry.timeout),
    reservedConcurrentExecutions: reserveConcurrency ? 1 : undefined,
    tenancyConfig,
    // A host that outlives one invocation is invoked again by what it caused; Lambda would take that for a loop.
    recursiveLoop: lambda.RecursiveLoop.ALLOW,
    vpc: options.vpc,
    vpcSubnets: options.vpcSubnets,
    securityGroups: options.securityGroups,
  });
  return { lambdaFunction, role, logGroup };
}

function roleFor(scope: Construct, of: string, options: HostOptions, logGroup: logs.ILogGroup): iam.IRole {
  if (options.role) {
    logGroup.grantWrite(options.role);
    return options.role;
  }
  // Inline, so that the function cannot be created before its permissions, and at no further resource per host.
  const statements = [
    new iam.PolicyStatement({
      actions: ['logs:CreateLogStream', 'logs:PutLogEvents'],
      resources: [logGroup.logGroupArn],
    }),
  ];
  if (options.vpc) statements.push(NETWORK_INTERFACES());
  const role = new iam.Role(scope, 'Role', {
    assumedBy: new iam.ServicePrincipal('lambda.amazonaws.com'),
    description: `Guests of ${of}`,
    inlinePolicies: { Host: new iam.PolicyDocument({ statements }) },
  });
  if (options.vpc) {
    acknowledge(role.node.defaultChild!, {
      'AwsSolutions-IAM5[Resource::*]': "EC2 has no resource-level permissions for Lambda's network interfaces.",
    });
  }
  return role;
}

/** What Lambda needs to place a function in a VPC; `AWSLambdaVPCAccessExecutionRole` without its access to all logs. */
const NETWORK_INTERFACES = () =>
  new iam.PolicyStatement({
    actions: [
      'ec2:AssignPrivateIpAddresses',
      'ec2:CreateNetworkInterface',
      'ec2:DeleteNetworkInterface',
      'ec2:DescribeNetworkInterfaces',
      'ec2:DescribeSubnets',
      'ec2:UnassignPrivateIpAddresses',
    ],
    resources: ['*'],
  });

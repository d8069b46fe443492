/**
 * What props must look like. TypeScript's compiler says so to its users; JavaScript has none, and jsii's other languages pass what they
 * like for maps and lists. Whether a value of the right kind can work is checked in `checks.ts`.
 */
import { Token } from 'aws-cdk-lib';
import type { Construct } from 'constructs';
import { CIDR, HOST_DEFAULTS } from '../../contract/manifest';
import type { ImaginaryClusterProps } from '../cluster/cluster-props';
import type { ImaginaryClusterAttributes } from '../cluster/cluster-reference';
import type { HostFunctionProps } from '../host/host-function';
import type { HostGroupOptions, HostOptions } from '../host/host-options';
import { Protocol } from '../ingress/expose-options';
import type { ExposedHostProps } from '../ingress/exposed-host';
import type { HostInstanceProps } from '../instance/host-instance';
import type { InstanceContainerOptions, InstanceMachineOptions, InstanceOptions } from '../instance/instance-options';
import type { SeedNodeOptions, SeedNodeProps } from '../seed/seed-node';
import type { ServiceProps } from '../service/service';
import type { ServiceOptions } from '../service/service-options';
import { refuse } from './checks';

export interface Rule {
  readonly required: boolean;
  /** What is allowed, for people. */
  readonly allowed: string;
  readonly fits: (value: unknown) => boolean;
}

/** A rule for every prop: the compiler finds those that are forgotten, and those that are not as required as they are said to be. */
export type Shape<P> = {
  readonly [K in keyof P]-?: Rule & { readonly required: undefined extends P[K] ? false : true };
};

const isObject = (value: unknown): value is object => typeof value === 'object' && value !== null;
const isMap = (value: unknown): value is Record<string, unknown> => isObject(value) && !Array.isArray(value);
const isText = (value: unknown) => typeof value === 'string' || Token.isUnresolved(value);

const optional = (allowed: string, fits: Rule['fits']) => ({ required: false, allowed, fits }) as const;
const required = ({ allowed, fits }: Rule) => ({ required: true, allowed, fits }) as const;

const text = (like: string) => optional(`a string, like '${like}'`, isText);
const number = optional('a number', (value) => typeof value === 'number');
const boolean = optional('true or false', (value) => typeof value === 'boolean');
const texts = (like: string) =>
  optional(`an array of strings, like ${like}`, (value) => Array.isArray(value) && value.every(isText));
const map = (like: string) =>
  optional(
    `an object of names and strings, like ${like}`,
    (value) => isMap(value) && Object.values(value).every((entry) => isText(entry)),
  );
/** An object of somebody else's class, known by something that it has. */
const having = (allowed: string, member: string) =>
  optional(allowed, (value) => (isObject(value) || typeof value === 'function') && member in value);
const list = (allowed: string, member: string) => {
  const { fits } = having(allowed, member);
  return optional(`an array of ${allowed}`, (value) => Array.isArray(value) && value.every(fits));
};
const object = (allowed: string) => optional(allowed, isMap);

const duration = having('a Duration, like Duration.seconds(30)', 'toMilliseconds');
const cluster = required(having('the ImaginaryCluster', 'clusterName'));
const vpc = having('an ec2.IVpc', 'vpcId');
const role = having('an iam.IRole', 'roleArn');
const subnets = object('an ec2.SubnetSelection, like { subnetType: ec2.SubnetType.PUBLIC }');
const securityGroups = list('ec2.ISecurityGroup', 'securityGroupId');
const retention = optional('one of logs.RetentionDays', (value) => typeof value === 'number');
const key = having('a secretsmanager.ISecret', 'secretArn');

export const HOST: Shape<HostOptions> = {
  code: required(having("a lambda.Code, like lambda.Code.fromAsset('hosts/web')", 'bind')),
  command: required(texts("['node', 'server.js']")),
  environment: map("{ REDIS: 'redis:6379' }"),
  workingDirectory: text(HOST_DEFAULTS.workingDirectory),
  remappedFiles: map("{ '/etc/app': '/var/task/etc/app' }"),
  memorySize: number,
  architecture: having('lambda.Architecture.X86_64 or lambda.Architecture.ARM_64', 'dockerPlatform'),
  runtime: having('a lambda.Runtime, like lambda.Runtime.NODEJS_24_X', 'family'),
  layers: list('lambda.ILayerVersion', 'layerVersionArn'),
  ephemeralStorageSize: having('a Size, like Size.mebibytes(512)', 'toMebibytes'),
  timeout: duration,
  idleTimeout: duration,
  releaseTimeout: duration,
  allocationTimeout: duration,
  settleTime: duration,
  releasePolicy: optional(
    'ReleasePolicy.NO_CONNECTIONS, ReleasePolicy.NO_TRAFFIC or ReleasePolicy.NEVER',
    (value) => value === 'no-connections' || value === 'no-traffic' || value === 'never',
  ),
  readyWhen: having("a Ready, like Ready.command(['pg_isready'])", '_rule'),
  livenessCommand: texts("['redis-cli', 'ping']"),
  livenessInterval: duration,
  onDrain: texts("['redis-cli', 'save']"),
  onRelease: texts("['redis-cli', 'save']"),
  drainTimeout: duration,
  stopTimeout: duration,
  restartPolicy: optional(
    'RestartPolicy.NEVER, RestartPolicy.ON_FAILURE or RestartPolicy.ALWAYS',
    (value) => value === 'never' || value === 'on-failure' || value === 'always',
  ),
  startWith: texts("['redis']"),
  connectsTo: texts("['redis']"),
  prefetch: boolean,
  startBarrier: having("a StartBarrier, like StartBarrier.hosts(['db'])", '_rule'),
  wakeSchedule: having('an events.Schedule, like events.Schedule.rate(Duration.hours(1))', 'expressionString'),
  aliases: texts("['cache']"),
  address: text('100.64.0.10'),
  reserveConcurrency: boolean,
  passCredentials: boolean,
  role,
  logGroup: having('a logs.ILogGroup', 'logGroupName'),
  logRetention: retention,
  vpc,
  vpcSubnets: subnets,
  securityGroups,
};

export const HOST_FUNCTION: Shape<HostFunctionProps> = { ...HOST, cluster, hostName: text('web') };
export const HOST_GROUP: Shape<HostGroupOptions> = { ...HOST, count: required(number), pooled: boolean };

export const INSTANCE: Shape<InstanceOptions> = {
  command: texts("['postgres', '-D', '/var/lib/pgsql/data']"),
  environment: HOST.environment,
  workingDirectory: text('/srv/app'),
  remappedFiles: HOST.remappedFiles,
  allocationTimeout: duration,
  settleTime: duration,
  readyWhen: HOST.readyWhen,
  livenessCommand: HOST.livenessCommand,
  livenessInterval: duration,
  onDrain: HOST.onDrain,
  onRelease: HOST.onRelease,
  drainTimeout: duration,
  stopTimeout: duration,
  aliases: HOST.aliases,
  address: HOST.address,
};
export const HOST_INSTANCE: Shape<HostInstanceProps> = { ...INSTANCE, cluster, hostName: text('db') };

const RUN = { waitForCount: number, waitFor: texts("['api', 'cache']"), waitTimeout: duration };
export const INSTANCE_MACHINE: Shape<InstanceMachineOptions> = { ...RUN, user: text('ec2-user') };
export const INSTANCE_CONTAINER: Shape<InstanceContainerOptions> = {
  ...RUN,
  container: required(having('an ecs.ContainerDefinitionOptions, with an image', 'image')),
  program: texts("['imaginary']"),
};
export const SERVICE: Shape<ServiceOptions> = {
  hosts: list('HostFunction', 'hostName'),
  instances: texts("['db']"),
  maxConnections: number,
  maxCpu: number,
  sticky: boolean,
  address: text('100.64.0.10'),
};
export const SERVICE_PROPS: Shape<ServiceProps> = { ...SERVICE, cluster, serviceName: text('api') };

export const SEED: Shape<SeedNodeOptions> = {
  vpc,
  vpcSubnets: subnets,
  seedInstanceType: having("an ec2.InstanceType, like new ec2.InstanceType('t4g.micro')", 'architecture'),
  seedPort: number,
  seedPeers: list("ec2.IPeer, like ec2.Peer.ipv4('192.0.2.0/24')", 'toIngressRuleConfig'),
  seedSecurityGroup: having('an ec2.ISecurityGroup', 'securityGroupId'),
  seedRole: role,
  seedSessionManager: boolean,
  seedStandby: boolean,
};
export const SEED_NODE: Shape<SeedNodeProps> = { ...SEED, cluster };

export const CLUSTER: Shape<ImaginaryClusterProps> = {
  ...SEED,
  clusterName: text('shop'),
  cidr: text(CIDR.default),
  clusterKey: key,
  logRetention: retention,
  reserveConcurrency: boolean,
  prefetch: boolean,
  maxAllocationsPerMinute: number,
  maxAllocationsPerMinutePerMember: number,
  maxRunningHosts: number,
};

export const EXPOSE: Shape<ExposedHostProps> = {
  cluster,
  hostName: required(text('web')),
  port: required(number),
  protocol: optional('Protocol.TCP or Protocol.UDP', (value) => Object.values<unknown>(Protocol).includes(value)),
  hostPort: number,
  allowFrom: texts("['198.51.100.0/24']"),
  serverNames: texts("['api.example.com']"),
  proxyProtocol: boolean,
  tls: having('an IngressTls, like IngressTls.fromSecret(secret)', '_secret'),
  maxConnectionsPerClient: number,
  maxNewConnectionsPerMinutePerClient: number,
  maxAllocationsPerMinutePerClient: number,
  flowTimeout: duration,
  allocationTimeout: duration,
};

export const ATTRIBUTES: Shape<ImaginaryClusterAttributes> = {
  clusterName: required(text('shop')),
  clusterKey: required(key),
  seedAddress: required(text('192.0.2.1')),
  seedPort: number,
  securityGroups,
};

/** Refuses props that are missing, or not of their kind. */
export function checkShape<P>(scope: Construct, path: string, props: P, shape: Shape<P>): void {
  if (!isMap(props)) {
    const names = Object.keys(shape).filter((name) => (shape as Record<string, Rule>)[name].required);
    const needed = names.length === 0 ? '' : ` with ${names.join(', ')}`;
    refuse(scope, `the props${path} are ${shown(props)}; allowed: an object${needed}`);
  }
  for (const [name, rule] of Object.entries<Rule>(shape)) {
    const value = (props as Record<string, unknown>)[name];
    if (value === undefined || value === null) {
      if (rule.required) refuse(scope, `${name}${path} is missing; required: ${rule.allowed}`);
    } else if (!rule.fits(value)) {
      refuse(scope, `${name}${path} is ${shown(value)}; allowed: ${rule.allowed}`);
    }
  }
}

function shown(value: unknown): string {
  if (typeof value === 'function') return 'a function';
  let text: string | undefined;
  try {
    text = JSON.stringify(value);
  } catch {
    // It refers to itself, as constructs do.
  }
  if (text === undefined) return value === undefined ? 'missing' : `a ${typeof value}`;
  return text.length > 100 ? `${text.slice(0, 100)}…` : text;
}

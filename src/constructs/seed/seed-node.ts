import { ArnFormat, Lazy, Stack } from 'aws-cdk-lib';
import type * as dynamodb from 'aws-cdk-lib/aws-dynamodb';
import * as ec2 from 'aws-cdk-lib/aws-ec2';
import * as iam from 'aws-cdk-lib/aws-iam';
import * as logs from 'aws-cdk-lib/aws-logs';
import * as s3_assets from 'aws-cdk-lib/aws-s3-assets';
import { Construct } from 'constructs';
import { dataPortOf, SEED_PORT } from '../../contract/manifest';
import type { ImaginaryCluster } from '../cluster/imaginary-cluster';
import { acknowledge } from '../private/acknowledge';
import * as check from '../private/checks';
import { builtPath } from '../private/layers';
import { ManifestAsset } from '../private/manifest-asset';
import { checkShape, SEED_NODE } from '../private/shape';
import { isArm, launch, type SeedFiles, seedUserData } from './machine';
import { leaseTable, OWN_VPC, ownStandbySubnet, standbySubnet } from './standby';

/** How and where the seed of a cluster runs. */
export interface SeedNodeOptions {
  /**
   * The VPC that the seed runs in. It needs a public subnet: host functions reach the seed from the internet.
   *
   * @default - a new one with a single public subnet, without a NAT gateway
   */
  readonly vpc?: ec2.IVpc;

  /**
   * The subnets of `vpc` that the seed may be placed in.
   *
   * @default - the public subnets
   */
  readonly vpcSubnets?: ec2.SubnetSelection;

  /**
   * The seed's instance type.
   *
   * @default - t4g.micro (arm64)
   */
  readonly seedInstanceType?: ec2.InstanceType;

  /**
   * The TCP port that hosts join at. The port after it is the seed's data port: there functions find out about their NAT, and
   * connections between those that no direct one can be made between are relayed.
   *
   * @default 9410
   */
  readonly seedPort?: number;

  /**
   * Who may connect to the seed's ports. Whoever joins has to prove that it knows the cluster key as well.
   *
   * @default - any IPv4 address, because functions outside of a VPC have no fixed ones
   */
  readonly seedPeers?: ec2.IPeer[];

  /**
   * The seed's security group. Rules for `seedPeers` are added to it.
   *
   * @default - a new one that allows all outbound traffic
   */
  readonly seedSecurityGroup?: ec2.ISecurityGroup;

  /**
   * The seed's role. The permissions that the seed needs are added to it.
   *
   * @default - a new one
   */
  readonly seedRole?: iam.IRole;

  /**
   * Allow operators to open a shell on the seed with Session Manager. There is no other way in: no SSH, no key pair.
   *
   * @default true
   */
  readonly seedSessionManager?: boolean;

  /**
   * Run a second seed, which takes over when the first is gone: in about 5 seconds after a failure, and at once after a
   * deliberate end. New hosts are allocated again 3 seconds later; hosts that run, and their connections, go on
   * throughout. Which of the two serves is decided by a lease in a DynamoDB table.
   *
   * It costs a second instance with its address, and about two requests to the table a second. The second instance is in
   * another availability zone, unless the subnets are all in one.
   *
   * @default false
   */
  readonly seedStandby?: boolean;
}

/** Properties of a SeedNode. */
export interface SeedNodeProps extends SeedNodeOptions {
  /** The cluster that the seed serves. */
  readonly cluster: ImaginaryCluster;
}

/**
 * The EC2 instance that runs a cluster's seed: what hosts join through and what allocates them. With `seedStandby` there
 * are two instances.
 *
 * Made by `ImaginaryCluster`; every cluster has one.
 */
export class SeedNode extends Construct implements iam.IGrantable, ec2.IConnectable {
  /** The port that hosts join at. */
  public readonly port: number;

  /** The port for probes of NATs and for relayed connections. */
  public readonly dataPort: number;

  /** The VPC that the seed runs in. */
  public readonly vpc: ec2.IVpc;

  /** The instance. Its user data runs at every boot, so a change of it needs a restart and no new instance. */
  public readonly instance: ec2.Instance;

  /** The seed's fixed public address. */
  public readonly elasticIp: ec2.CfnEIP;

  /**
   * The instance of the other seed, which takes over when the first is gone.
   *
   * @default - none: `seedStandby` is not set
   */
  public readonly standbyInstance?: ec2.Instance;

  /**
   * The fixed public address of the other seed.
   *
   * @default - none: `seedStandby` is not set
   */
  public readonly standbyElasticIp?: ec2.CfnEIP;

  /**
   * The table with the lease that decides which seed serves.
   *
   * @default - none: `seedStandby` is not set
   */
  public readonly leaseTable?: dynamodb.ITable;

  /** The seed's permissions. Both seeds have the same. */
  public readonly role: iam.IRole;

  /** The seed's permissions. */
  public readonly grantPrincipal: iam.IPrincipal;

  /** The seed's connections; the default port is both of the seed's. */
  public readonly connections: ec2.Connections;

  constructor(scope: Construct, id: string, props: SeedNodeProps) {
    super(scope, id);
    checkShape(this, '', props, SEED_NODE);
    const { cluster } = props;
    // The data port is the next one.
    const limit = { ...SEED_PORT, high: SEED_PORT.high - 1 };
    this.port = check.checkWhole(this, 'seedPort', props.seedPort ?? SEED_PORT.default, limit);
    this.dataPort = dataPortOf(this.port);
    if (!props.vpc && props.vpcSubnets) {
      check.refuse(this, `vpcSubnets is set without 'vpc'; pass the VPC that the subnets belong to as well`);
    }
    this.vpc = props.vpc ?? this.ownVpc();
    this.role = props.seedRole ?? this.ownRole(cluster);
    this.grantPrincipal = this.role;
    if (props.seedSessionManager ?? true) this.allowSessionManager();

    const securityGroup =
      props.seedSecurityGroup ??
      new ec2.SecurityGroup(this, 'SecurityGroup', {
        vpc: this.vpc,
        description: `Seed of the imaginary cluster ${cluster.clusterName}`,
      });
    const defaultPort = ec2.Port.tcpRange(this.port, this.dataPort);
    this.connections = new ec2.Connections({ securityGroups: [securityGroup], defaultPort });
    for (const peer of props.seedPeers ?? [ec2.Peer.anyIpv4()]) {
      this.connections.allowDefaultPortFrom(peer, 'hosts join the cluster');
    }
    if (!props.seedPeers) {
      acknowledge(securityGroup, {
        'AwsSolutions-EC23':
          'Functions have no fixed address. ' +
          `Port ${this.port} serves only who knows the cluster key, port ${this.dataPort} relays only for them.`,
      });
    }

    const manifest = new ManifestAsset(this, () => cluster._renderManifest());
    const instanceType = props.seedInstanceType ?? new ec2.InstanceType('t4g.micro');
    const files = this.files(manifest, isArm(instanceType));
    cluster.clusterKey.grantRead(this.role);
    const common = { vpc: this.vpc, instanceType, role: this.role, securityGroup };
    const vpcSubnets = props.vpcSubnets ?? { subnetType: ec2.SubnetType.PUBLIC };

    this.elasticIp = new ec2.CfnEIP(this, 'Address', { domain: 'vpc' });
    if (props.seedStandby) {
      this.standbyElasticIp = new ec2.CfnEIP(this, 'StandbyAddress', { domain: 'vpc' });
      this.leaseTable = leaseTable(this, this.role);
    }
    // Ports are exposed later.
    const tls = Lazy.string({
      produce: () =>
        cluster
          ._tlsSecrets()
          .map(({ name, arn }) => ` \\\n  --tls-secret '${name}=${arn}'`)
          .join(''),
    });
    const userData = (own: string, other: string | undefined, second = false) =>
      seedUserData({
        ...{ files, own, port: this.port, dataPort: this.dataPort, region: Stack.of(this).region },
        keySecret: cluster.clusterKey.secretArn,
        tls,
        standby: other === undefined ? undefined : { address: other, table: this.leaseTable!.tableName, second },
      });
    this.instance = launch(this, '', {
      ...{ ...common, vpcSubnets, elasticIp: this.elasticIp },
      userData: userData(this.endpoint, this.standbyEndpoint),
    });
    // The local platform finds the manifest from the template by this.
    this.instance.instance.addMetadata('imaginary:manifest', { path: manifest.path });
    if (this.standbyElasticIp) {
      const subnet = props.vpc ? standbySubnet(this, props.vpc, vpcSubnets) : ownStandbySubnet(this, this.vpc);
      this.standbyInstance = launch(this, 'Standby', {
        ...{ ...common, vpcSubnets: { subnets: [subnet] }, elasticIp: this.standbyElasticIp },
        userData: userData(this.standbyEndpoint!, this.endpoint, true),
      });
      // One after the other: an update restarts both.
      this.standbyInstance.node.addDependency(this.instance);
    }
  }

  /** The seed's public address. */
  public get address(): string {
    return this.elasticIp.attrPublicIp;
  }

  /** The seed's address and port. */
  public get endpoint(): string {
    return `${this.address}:${this.port}`;
  }

  /** The address and port of the other seed; undefined without `seedStandby`. */
  public get standbyEndpoint(): string | undefined {
    return this.standbyElasticIp && `${this.standbyElasticIp.attrPublicIp}:${this.port}`;
  }

  /**
   * Lets the seed allocate a host. One statement per function: a policy that grows too large is split by statement.
   *
   * @internal
   */
  public _allowAllocation(functionName: string): void {
    this.role.addToPrincipalPolicy(
      new iam.PolicyStatement({
        actions: ['lambda:InvokeFunction'],
        // By name, not by reference: the seed need not wait for its hosts' functions to be created.
        resources: [this.functionArn(functionName)],
      }),
    );
  }

  private functionArn(resourceName: string): string {
    const arnFormat = ArnFormat.COLON_RESOURCE_NAME;
    return Stack.of(this).formatArn({ service: 'lambda', resource: 'function', resourceName, arnFormat });
  }

  /** What an instance gets at every boot. The role may read it. */
  private files(manifest: ManifestAsset, arm: boolean): SeedFiles {
    const installer = new s3_assets.Asset(this, 'Installer', { path: builtPath('assets', 'seed', 'install.sh') });
    const program = new s3_assets.Asset(this, 'Program', { path: builtPath('assets', 'seed', 'seed.js') });
    // The same file as in the supervisor's layer.
    const native = new s3_assets.Asset(this, 'Native', {
      path: builtPath('lambda-layers', 'supervisor', arm ? 'arm64' : 'x86_64', 'imaginary', 'native.node'),
    });
    const files = {
      Installer: { bucket: installer.s3BucketName, key: installer.s3ObjectKey },
      Program: { bucket: program.s3BucketName, key: program.s3ObjectKey },
      Native: { bucket: native.s3BucketName, key: native.s3ObjectKey },
      Manifest: { bucket: manifest.bucketName, key: manifest.objectKey },
    };
    const objectArn = (file: { bucket: string; key: string }) =>
      Stack.of(this).formatArn({
        service: 's3',
        region: '',
        account: '',
        resource: file.bucket,
        resourceName: file.key,
      });
    // One statement each, kept apart by their ids: merged ones are sorted by ARN, that is, by what the files contain.
    for (const [name, file] of Object.entries(files)) {
      const sid = `Read${name}`;
      this.role.addToPrincipalPolicy(
        new iam.PolicyStatement({ sid, actions: ['s3:GetObject'], resources: [objectArn(file)] }),
      );
    }
    return files;
  }

  private ownVpc(): ec2.IVpc {
    const vpc = new ec2.Vpc(this, 'Vpc', {
      ipAddresses: ec2.IpAddresses.cidr(OWN_VPC),
      maxAzs: 1,
      natGateways: 0,
      subnetConfiguration: [{ name: 'Public', subnetType: ec2.SubnetType.PUBLIC }],
      // Nothing uses the default group; restricting it would take a custom resource.
      restrictDefaultSecurityGroup: false,
    });
    const logGroup = new logs.LogGroup(this, 'FlowLog', { retention: logs.RetentionDays.ONE_MONTH });
    vpc.addFlowLog('Rejected', {
      destination: ec2.FlowLogDestination.toCloudWatchLogs(logGroup),
      trafficType: ec2.FlowLogTrafficType.REJECT,
    });
    return vpc;
  }

  private ownRole(cluster: ImaginaryCluster): iam.IRole {
    return new iam.Role(this, 'Role', {
      assumedBy: new iam.ServicePrincipal('ec2.amazonaws.com'),
      description: `Seed of the imaginary cluster ${cluster.clusterName}`,
    });
  }

  /** What Session Manager needs; the managed policy for it also allows to read every parameter of the account. */
  private allowSessionManager(): void {
    const statement = new iam.PolicyStatement({
      actions: [
        'ssm:UpdateInstanceInformation',
        'ssmmessages:CreateControlChannel',
        'ssmmessages:CreateDataChannel',
        'ssmmessages:OpenControlChannel',
        'ssmmessages:OpenDataChannel',
      ],
      resources: ['*'],
    });
    const policy = new iam.Policy(this, 'SessionManager', { statements: [statement] });
    this.role.attachInlinePolicy(policy);
    acknowledge(policy, {
      'AwsSolutions-IAM5[Resource::*]': 'The actions that Session Manager needs have no resource-level permissions.',
    });
  }
}

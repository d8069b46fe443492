import { ArnFormat, Stack } from 'aws-cdk-lib';
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
}

/** Properties of a SeedNode. */
export interface SeedNodeProps extends SeedNodeOptions {
  /** The cluster that the seed serves. */
  readonly cluster: ImaginaryCluster;
}

/**
 * The EC2 instance that runs a cluster's seed: what hosts join through and what allocates them.
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

  /** The seed's permissions. */
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

    this.elasticIp = new ec2.CfnEIP(this, 'Address', { domain: 'vpc' });
    this.instance = this.launch(props, securityGroup);
    new ec2.CfnEIPAssociation(this, 'AddressAssociation', {
      allocationId: this.elasticIp.attrAllocationId,
      instanceId: this.instance.instanceId,
    });
  }

  /** The seed's public address. */
  public get address(): string {
    return this.elasticIp.attrPublicIp;
  }

  /** The seed's address and port. */
  public get endpoint(): string {
    return `${this.address}:${this.port}`;
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

  private launch(props: SeedNodeProps, securityGroup: ec2.ISecurityGroup): ec2.Instance {
    const instanceType = props.seedInstanceType ?? new ec2.InstanceType('t4g.micro');
    const arm = instanceType.architecture === ec2.InstanceArchitecture.ARM_64;
    const manifest = new ManifestAsset(this, () => props.cluster._renderManifest());
    const instance = new ec2.Instance(this, 'Instance', {
      vpc: this.vpc,
      vpcSubnets: props.vpcSubnets ?? { subnetType: ec2.SubnetType.PUBLIC },
      associatePublicIpAddress: true, // until the fixed address is there
      instanceType,
      machineImage: ec2.MachineImage.latestAmazonLinux2023({
        cpuType: arm ? ec2.AmazonLinuxCpuType.ARM_64 : ec2.AmazonLinuxCpuType.X86_64,
      }),
      role: this.role,
      securityGroup,
      httpTokens: ec2.HttpTokens.REQUIRED,
      httpPutResponseHopLimit: 1,
      blockDevices: [
        {
          deviceName: '/dev/xvda',
          volume: ec2.BlockDeviceVolume.ebs(8, { encrypted: true, volumeType: ec2.EbsDeviceVolumeType.GP3 }),
        },
      ],
      userData: this.userData(props.cluster, manifest, arm),
    });
    // The local platform finds the manifest from the template by this.
    instance.instance.addMetadata('imaginary:manifest', { path: manifest.path });
    acknowledge(instance, {
      'AwsSolutions-EC28': 'The seed is one small instance; basic monitoring shows whether it is up.',
      'AwsSolutions-EC29': 'The seed keeps no state: hosts rejoin a new instance at the same address.',
    });
    return instance;
  }

  /** Runs at every boot, so that a changed manifest or seed arrives with the restart that changed user data causes. */
  private userData(cluster: ImaginaryCluster, manifest: ManifestAsset, arm: boolean): ec2.UserData {
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
    cluster.clusterKey.grantRead(this.role);

    const url = (file: { bucket: string; key: string }) => `s3://${file.bucket}/${file.key}`;
    const { region } = Stack.of(this);
    const script = ec2.UserData.forLinux();
    script.addCommands(
      `until aws s3 cp --region '${region}' '${url(files.Installer)}' /run/imaginary-install.sh; do sleep 5; done`,
      [
        'exec bash /run/imaginary-install.sh',
        `--program '${url(files.Program)}'`,
        `--native '${url(files.Native)}'`,
        `--manifest '${url(files.Manifest)}'`,
        `--key-secret '${cluster.clusterKey.secretArn}'`,
        `--address '${this.endpoint}'`,
        `--port '${this.port}'`,
        `--data-port '${this.dataPort}'`,
        `--region '${region}'`,
      ].join(' \\\n  '),
    );
    const parts = new ec2.MultipartUserData();
    const everyBoot = '#cloud-config\ncloud_final_modules:\n  - [scripts-user, always]\n';
    parts.addPart(
      ec2.MultipartBody.fromRawBody({ contentType: 'text/cloud-config; charset="utf-8"', body: everyBoot }),
    );
    parts.addUserDataPart(script, ec2.MultipartBody.SHELL_SCRIPT, true);
    return parts;
  }

  private ownVpc(): ec2.IVpc {
    const vpc = new ec2.Vpc(this, 'Vpc', {
      ipAddresses: ec2.IpAddresses.cidr('10.94.0.0/24'),
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

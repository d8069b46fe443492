/** An instance that runs a seed: what it is made of, and what it does at every boot. */
import * as ec2 from 'aws-cdk-lib/aws-ec2';
import type * as iam from 'aws-cdk-lib/aws-iam';
import type { Construct } from 'constructs';
import { acknowledge } from '../private/acknowledge';

interface SeedFile {
  readonly bucket: string;
  readonly key: string;
}

/** Objects that an instance downloads. */
export type SeedFiles = Readonly<Record<'Installer' | 'Program' | 'Native' | 'Manifest', SeedFile>>;

export interface UserDataOptions {
  readonly files: SeedFiles;
  readonly keySecret: string;
  /** `address:port` of this seed. */
  readonly own: string;
  readonly port: number;
  readonly dataPort: number;
  readonly region: string;
  /** Options about secrets with certificates; empty: there are none. */
  readonly tls: string;
  /** The other seed, and the table of the lease. Absent: there is no other seed. */
  readonly standby: { readonly address: string; readonly table: string; readonly second: boolean } | undefined;
}

export interface MachineOptions {
  readonly vpc: ec2.IVpc;
  readonly vpcSubnets: ec2.SubnetSelection;
  readonly instanceType: ec2.InstanceType;
  readonly role: iam.IRole;
  readonly securityGroup: ec2.ISecurityGroup;
  readonly userData: ec2.UserData;
  readonly elasticIp: ec2.CfnEIP;
}

export function isArm(type: ec2.InstanceType): boolean {
  return type.architecture === ec2.InstanceArchitecture.ARM_64;
}

/** @param prefix of the ids of its resources */
export function launch(scope: Construct, prefix: string, options: MachineOptions): ec2.Instance {
  const { elasticIp, ...rest } = options;
  const instance = new ec2.Instance(scope, `${prefix}Instance`, {
    ...rest,
    associatePublicIpAddress: true, // until the fixed address is there
    machineImage: ec2.MachineImage.latestAmazonLinux2023({
      cpuType: isArm(rest.instanceType) ? ec2.AmazonLinuxCpuType.ARM_64 : ec2.AmazonLinuxCpuType.X86_64,
    }),
    httpTokens: ec2.HttpTokens.REQUIRED,
    httpPutResponseHopLimit: 1,
    blockDevices: [
      {
        deviceName: '/dev/xvda',
        volume: ec2.BlockDeviceVolume.ebs(8, { encrypted: true, volumeType: ec2.EbsDeviceVolumeType.GP3 }),
      },
    ],
  });
  acknowledge(instance, {
    'AwsSolutions-EC28': 'The seed is one small instance; basic monitoring shows whether it is up.',
    'AwsSolutions-EC29': 'The seed keeps no state: hosts rejoin a new instance at the same address.',
  });
  new ec2.CfnEIPAssociation(scope, `${prefix}AddressAssociation`, {
    allocationId: elasticIp.attrAllocationId,
    instanceId: instance.instanceId,
  });
  return instance;
}

/** Runs at every boot, so that a changed manifest or seed arrives with the restart that changed user data causes. */
export function seedUserData(options: UserDataOptions): ec2.UserData {
  const { files, keySecret, own, port, dataPort, region, standby, tls } = options;
  const url = (file: SeedFile) => `s3://${file.bucket}/${file.key}`;
  const script = ec2.UserData.forLinux();
  script.addCommands(
    `until aws s3 cp --region '${region}' '${url(files.Installer)}' /run/imaginary-install.sh; do sleep 5; done`,
    [
      'exec bash /run/imaginary-install.sh',
      `--program '${url(files.Program)}'`,
      `--native '${url(files.Native)}'`,
      `--manifest '${url(files.Manifest)}'`,
      `--key-secret '${keySecret}'`,
      `--address '${own}'`,
      `--port '${port}'`,
      `--data-port '${dataPort}'`,
      `--region '${region}'${tls}`,
      ...(standby ? [`--standby '${standby.address}'`, `--lease-table '${standby.table}'`] : []),
      ...(standby?.second ? ["--second 'yes'"] : []),
    ].join(' \\\n  '),
  );
  const parts = new ec2.MultipartUserData();
  const everyBoot = '#cloud-config\ncloud_final_modules:\n  - [scripts-user, always]\n';
  parts.addPart(ec2.MultipartBody.fromRawBody({ contentType: 'text/cloud-config; charset="utf-8"', body: everyBoot }));
  parts.addUserDataPart(script, ec2.MultipartBody.SHELL_SCRIPT, true);
  return parts;
}

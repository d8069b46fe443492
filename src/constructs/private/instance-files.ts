/** The package as a host instance on EC2 gets it: archives that the installer unpacks as they lie in the package. */
import * as fs from 'node:fs';
import { Stack } from 'aws-cdk-lib';
import * as iam from 'aws-cdk-lib/aws-iam';
import * as s3_assets from 'aws-cdk-lib/aws-s3-assets';
import { Construct } from 'constructs';
import { builtPath } from './layers';

const FILES = {
  Installer: ['assets', 'instance', 'install.sh'],
  Cli: ['assets', 'cli'],
  SupervisorX8664: ['lambda-layers', 'supervisor', 'x86_64'],
  SupervisorArm64: ['lambda-layers', 'supervisor', 'arm64'],
  ShimX8664: ['lambda-layers', 'shim', 'x86_64'],
  ShimArm64: ['lambda-layers', 'shim', 'arm64'],
} as const;
type Name = keyof typeof FILES;

export class InstanceFiles extends Construct {
  /** One for each stack. */
  static of(scope: Construct): InstanceFiles {
    const stack = Stack.of(scope);
    const id = 'ImaginaryInstanceFiles';
    return (stack.node.tryFindChild(id) as InstanceFiles | undefined) ?? new InstanceFiles(stack, id);
  }

  /** Version of the package. */
  readonly version: string = JSON.parse(fs.readFileSync(builtPath('package.json'), 'utf8')).version;
  private readonly assets = new Map<Name, s3_assets.Asset>();

  private constructor(scope: Construct, id: string) {
    super(scope, id);
    for (const [name, path] of Object.entries(FILES) as Array<[Name, readonly string[]]>) {
      this.assets.set(name, new s3_assets.Asset(this, name, { path: builtPath(...path) }));
    }
  }

  url(name: Name): string {
    const { s3BucketName, s3ObjectKey } = this.assets.get(name)!;
    return `s3://${s3BucketName}/${s3ObjectKey}`;
  }

  /** Exactly these objects, and not their bucket. */
  grantRead(grantee: iam.IGrantable): void {
    for (const [name, { s3BucketName, s3ObjectKey }] of this.assets) {
      const arn = { service: 's3', region: '', account: '', resource: s3BucketName, resourceName: s3ObjectKey };
      const resources = [Stack.of(this).formatArn(arn)];
      const statement = new iam.PolicyStatement({ sid: `Read${name}`, actions: ['s3:GetObject'], resources });
      grantee.grantPrincipal.addToPrincipalPolicy(statement);
    }
  }
}

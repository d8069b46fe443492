/** The supervisor and shim layers: built files in `lambda-layers/`, one layer version per stack and architecture. */
import * as fs from 'node:fs';
import * as path from 'node:path';
import { Stack } from 'aws-cdk-lib';
import * as lambda from 'aws-cdk-lib/aws-lambda';
import type { Construct } from 'constructs';

/** The root of this package: the same from `src/constructs/private` and from `lib/constructs/private`. */
const PACKAGE = path.resolve(__dirname, '..', '..', '..');

/** The absolute path of a built file or folder of this package. */
export function builtPath(...segments: string[]): string {
  const file = path.join(PACKAGE, ...segments);
  if (!fs.existsSync(file)) {
    throw new Error(
      `${segments.join('/')} is missing in cdk-imaginary-machines; in its repository, run 'npx projen bundle'`,
    );
  }
  return file;
}

export function layersFor(scope: Construct, architecture: lambda.Architecture): lambda.ILayerVersion[] {
  return [layer(scope, 'supervisor', architecture), layer(scope, 'shim', architecture)];
}

function layer(scope: Construct, part: 'supervisor' | 'shim', architecture: lambda.Architecture): lambda.ILayerVersion {
  const stack = Stack.of(scope);
  const id = `Imaginary${part === 'shim' ? 'Shim' : 'Supervisor'}${architecture.name === 'arm64' ? 'Arm64' : 'X8664'}`;
  const existing = stack.node.tryFindChild(id);
  if (existing) return existing as lambda.LayerVersion;
  return new lambda.LayerVersion(stack, id, {
    code: lambda.Code.fromAsset(builtPath('lambda-layers', part, architecture.name)),
    compatibleArchitectures: [architecture],
    description: `Imaginary Machines: ${part}`,
    license: 'Apache-2.0',
  });
}

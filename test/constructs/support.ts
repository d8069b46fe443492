/** What the construct tests share: a cluster in a stack, and views of what it synthesises to. */
import * as fs from 'node:fs';
import * as os from 'node:os';
import * as path from 'node:path';
import { App, Stack } from 'aws-cdk-lib';
import { Template } from 'aws-cdk-lib/assertions';
import * as lambda from 'aws-cdk-lib/aws-lambda';
import { type HostOptions, ImaginaryCluster, type ImaginaryClusterProps } from '../../src';
import { type Manifest, parseManifest } from '../../src/contract/manifest';

/** The least that a host needs. */
export const HOST: HostOptions = {
  /** A new one each time: code belongs to one stack. */
  get code() {
    return lambda.Code.fromAsset(path.join(__dirname, 'guest'));
  },
  command: ['./run.sh'],
};

export interface Fixture {
  readonly app: App;
  readonly stack: Stack;
  readonly cluster: ImaginaryCluster;
}

/** Where the apps of one test file are synthesised: every one has a copy of the layers. */
const assemblies = fs.mkdtempSync(path.join(os.tmpdir(), 'cdk-out-'));
afterAll(() => fs.rmSync(assemblies, { recursive: true }));

export function newApp(): App {
  return new App({ outdir: fs.mkdtempSync(path.join(assemblies, 'app-')) });
}

export function newStack(): Stack {
  return new Stack(newApp(), 'Shop');
}

export function newCluster(props: ImaginaryClusterProps = {}): Fixture {
  const stack = newStack();
  return { app: stack.node.root as App, stack, cluster: new ImaginaryCluster(stack, 'Cluster', props) };
}

/** The one resource of a type, as far as `matching` tells. */
export function only(stack: Stack, type: string, matching = (_: any) => true): any {
  const found = Object.values(Template.fromStack(stack).findResources(type)).filter(matching);
  expect(found).toHaveLength(1);
  return found[0];
}

/** The manifest as the local platform and the seed get it: template, then metadata, then file. */
export function manifestOf(stack: Stack): Manifest {
  const assembly = (stack.node.root as App).synth();
  const artifact = assembly.getStackArtifact(stack.artifactId);
  const instances = Object.values<any>(artifact.template.Resources).filter((r) => r.Metadata?.['imaginary:manifest']);
  expect(instances).toHaveLength(1);
  const { path: file } = instances[0].Metadata['imaginary:manifest'];
  return parseManifest(fs.readFileSync(path.resolve(path.dirname(artifact.templateFullPath), file), 'utf8'));
}

/** All statements of all policies of a role, inline ones included. */
export function statementsOf(stack: Stack, roleLogicalId: string): any[] {
  const template = Template.fromStack(stack);
  const attached = ['AWS::IAM::Policy', 'AWS::IAM::ManagedPolicy'].flatMap((type) =>
    Object.values<any>(template.findResources(type)).filter(({ Properties }) =>
      (Properties.Roles ?? []).some((role: any) => role.Ref === roleLogicalId),
    ),
  );
  const role = template.findResources('AWS::IAM::Role')[roleLogicalId];
  const documents = [
    ...attached.map(({ Properties }) => Properties.PolicyDocument),
    ...(role.Properties.Policies ?? []).map((policy: any) => policy.PolicyDocument),
  ];
  return documents.flatMap((document) => document.Statement);
}

/** Joins what an intrinsic function would join; references read as `${Name}`. */
export function flat(value: any): string {
  if (typeof value === 'string') return value;
  if (value.Ref) return `\${${value.Ref}}`;
  if (value['Fn::GetAtt']) return `\${${value['Fn::GetAtt'].join('.')}}`;
  if (value['Fn::Sub']) return value['Fn::Sub'];
  if (value['Fn::Base64']) return flat(value['Fn::Base64']);
  if (value['Fn::Join']) return value['Fn::Join'][1].map(flat).join(value['Fn::Join'][0]);
  return JSON.stringify(value);
}

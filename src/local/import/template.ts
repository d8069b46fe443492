/** Reads the parts of a CloudFormation template, and of its list of assets, that the local platform runs. */
import { existsSync, readFileSync } from 'node:fs';
import { dirname, join, resolve } from 'node:path';
import { LocalError } from '../errors';
import { builtLayer } from '../paths';
import type { LocalFunction } from '../types';

export interface Template {
  readonly file: string;
  readonly resources: Readonly<Record<string, Resource>>;
}

interface Resource {
  readonly Type: string;
  readonly Properties?: Record<string, unknown>;
  readonly Metadata?: Record<string, unknown>;
}

const MANIFEST_KEY = 'imaginary:manifest';
const OWN_LAYER = /^Imaginary Machines: /;

export function readTemplate(file: string): Template {
  return { file, resources: (readJson(file) as { Resources?: Record<string, Resource> }).Resources ?? {} };
}

/** The manifests that the template's resources point to, as absolute paths. */
export function manifestFiles(template: Template): string[] {
  return Object.values(template.resources).flatMap((resource) => {
    const pointer = resource.Metadata?.[MANIFEST_KEY] as { path?: unknown } | undefined;
    return typeof pointer?.path === 'string' ? [resolve(dirname(template.file), pointer.path)] : [];
  });
}

/** The Lambda functions of a template whose names are in `wanted`. */
export function readFunctions(template: Template, wanted: ReadonlySet<string>): LocalFunction[] {
  const assets = readAssets(template.file);
  return Object.entries(template.resources).flatMap(([id, resource]) => {
    const properties = resource.Properties ?? {};
    const name = properties.FunctionName;
    if (resource.Type !== 'AWS::Lambda::Function' || typeof name !== 'string' || !wanted.has(name)) return [];
    const folderOf = (code: unknown, of: string) => assetFolder(template, assets, code, of);
    return [
      {
        name,
        code: folderOf(properties.Code, `function ${name} (${id})`),
        layers: readLayers(template, properties.Layers, folderOf),
        handler: stringOr(properties.Handler, 'index.handler'),
        ...readEnvironment(properties.Environment),
        memorySize: numberOr(properties.MemorySize, 128),
        timeout: numberOr(properties.Timeout, 3) * 1000,
        ...(typeof properties.ReservedConcurrentExecutions === 'number'
          ? { reservedConcurrency: properties.ReservedConcurrentExecutions }
          : {}),
        ...(isIsolated(properties.TenancyConfig) ? { tenantIsolation: true } : {}),
      },
    ];
  });
}

/**
 * Layers as folders. Ours are taken from this package, for this machine's architecture: the template's may be built for
 * another one.
 */
function readLayers(template: Template, layers: unknown, folderOf: (code: unknown, of: string) => string): string[] {
  const folders = (Array.isArray(layers) ? layers : []).flatMap((layer: unknown) => {
    const id = (layer as { Ref?: string } | null)?.Ref;
    const properties = id === undefined ? undefined : template.resources[id]?.Properties;
    // A layer of another stack or account is nowhere on this machine.
    if (!properties) return [];
    if (OWN_LAYER.test(String(properties.Description))) return [builtLayer('supervisor'), builtLayer('shim')];
    return [folderOf(properties.Content, `layer ${id}`)];
  });
  return [...new Set(folders)];
}

function assetFolder(template: Template, assets: ReadonlyMap<string, string>, code: unknown, of: string): string {
  const key = (code as { S3Key?: unknown } | undefined)?.S3Key;
  const folder = typeof key === 'string' ? assets.get(key) : undefined;
  if (folder && existsSync(folder)) return folder;
  throw new LocalError(
    'assembly',
    `${template.file}: the code of ${of} is no asset of the assembly${folder ? ` (${folder} is missing)` : ''}`,
    'Give it with lambda.Code.fromAsset(folder), and synthesise again.',
  );
}

/** From an asset's object key to the file or folder it is made of. */
function readAssets(templateFile: string): Map<string, string> {
  const file = templateFile.replace(/\.template\.json$/, '.assets.json');
  const keys = new Map<string, string>();
  if (!existsSync(file)) return keys;
  const { files = {} } = readJson(file) as {
    files?: Record<string, { source: { path?: string }; destinations: Record<string, { objectKey: string }> }>;
  };
  for (const asset of Object.values(files)) {
    if (asset.source.path === undefined) continue;
    for (const { objectKey } of Object.values(asset.destinations)) {
      keys.set(objectKey, resolve(dirname(file), asset.source.path));
    }
  }
  return keys;
}

/**
 * Values that only a deployment knows are left out, and named: there is no deployment. A secret's stands as text in a
 * template.
 */
function readEnvironment(from: unknown): Pick<LocalFunction, 'environment' | 'unknown'> {
  const variables = (from as { Variables?: Record<string, unknown> } | undefined)?.Variables ?? {};
  const isKnown = (entry: [string, unknown]): entry is [string, string] =>
    typeof entry[1] === 'string' && !entry[1].includes('{{resolve:');
  const environment = Object.fromEntries(Object.entries(variables).filter(isKnown));
  return { environment, unknown: Object.keys(variables).filter((name) => environment[name] === undefined) };
}

export function readJson(file: string): unknown {
  try {
    return JSON.parse(readFileSync(file, 'utf8'));
  } catch (error) {
    throw new LocalError('assembly', `${file}: ${(error as Error).message}`, undefined, { cause: error });
  }
}

export function templatesOf(assembly: string): string[] {
  const manifest = readJson(join(assembly, 'manifest.json')) as {
    artifacts?: Record<string, { type: string; properties?: { templateFile?: string; directoryName?: string } }>;
  };
  return Object.values(manifest.artifacts ?? {}).flatMap(({ type, properties }) => {
    if (type === 'aws:cloudformation:stack' && properties?.templateFile) {
      return [join(assembly, properties.templateFile)];
    }
    // A stage is an assembly within the assembly.
    if (type === 'cdk:cloud-assembly' && properties?.directoryName) {
      return templatesOf(join(assembly, properties.directoryName));
    }
    return [];
  });
}

const isIsolated = (tenancy: unknown) =>
  (tenancy as { TenantIsolationMode?: unknown } | undefined)?.TenantIsolationMode === 'PER_TENANT';

const stringOr = (value: unknown, other: string) => (typeof value === 'string' ? value : other);
const numberOr = (value: unknown, other: number) => (typeof value === 'number' ? value : other);

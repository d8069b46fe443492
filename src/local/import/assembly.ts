/** From a cloud assembly (cdk.out), or from a manifest alone, to the application that the platform runs. */
import { existsSync, readFileSync } from 'node:fs';
import { dirname, join, resolve } from 'node:path';
import { type Manifest, parseManifest } from '../../contract/manifest';
import { LocalError } from '../errors';
import { builtLayer } from '../paths';
import type { LocalApplication, LocalFunction } from '../types';
import { manifestFiles, readFunctions, readTemplate, templatesOf } from './template';

const HANDLER = '/opt/imaginary/handler.handler';

/**
 * Reads a synthesised CDK app.
 * @param folder the cloud assembly
 * @param cluster which one, by its name, where the app has several
 * @throws LocalError `assembly`, `no-cluster`, `several-clusters`; ManifestError
 */
export function readAssembly(folder: string, cluster?: string): LocalApplication {
  if (!existsSync(join(folder, 'manifest.json'))) {
    throw new LocalError('assembly', `${folder} is no cloud assembly: it has no manifest.json`, 'Run: npx cdk synth');
  }
  const templates = templatesOf(folder).map(readTemplate);
  const found = templates.flatMap(manifestFiles).map((file) => ({ file, manifest: read(file) }));
  const names = found.map((f) => f.manifest.cluster.name).join(', ');
  const wanted = cluster === undefined ? found : found.filter((f) => f.manifest.cluster.name === cluster);
  if (wanted.length === 0) {
    throw new LocalError(
      'no-cluster',
      cluster === undefined ? `${folder} declares no cluster` : `${folder} has no cluster '${cluster}', only: ${names}`,
      cluster === undefined || !names
        ? 'Add one to the app: new ImaginaryCluster(stack, …)'
        : 'Name one that there is.',
    );
  }
  if (wanted.length > 1) {
    throw new LocalError('several-clusters', `${folder} declares several clusters: ${names}`, 'Name the one to boot.');
  }
  const { manifest } = wanted[0];
  const needed = functionNames(manifest);
  const functions = templates.flatMap((template) => readFunctions(template, needed));
  const missing = [...needed].filter((name) => !functions.some((f) => f.name === name));
  if (missing.length > 0) {
    throw new LocalError('assembly', `no template of ${folder} has the function ${missing.join(', ')}`);
  }
  for (const { name, functionName, pooled } of manifest.hosts) {
    const fn = functions.find((f) => f.name === functionName);
    if (!fn || pooled === (fn.tenantIsolation ?? false)) continue;
    const is = pooled ? 'is pooled, and has no tenant isolation in' : 'is not pooled, and has tenant isolation in';
    throw new LocalError('assembly', `the function ${functionName} of host '${name}' ${is} the template`);
  }
  return { source: resolve(folder), manifest, functions };
}

/**
 * Reads a manifest that comes without a template: each host's function gets this package's own layers and, as its code,
 * the folder that the manifest is in.
 * @throws LocalError `assembly`; ManifestError
 */
export function readManifest(file: string): LocalApplication {
  const manifest = read(file);
  const layers = [builtLayer('supervisor'), builtLayer('shim')];
  const code = dirname(resolve(file));
  const functions = new Map<string, LocalFunction>();
  for (const { kind, functionName, pooled, memorySize, timeout } of manifest.hosts) {
    // Pooled hosts have one for all of them.
    if (kind !== 'function' || functions.has(functionName!)) continue;
    const tenancy = pooled ? { tenantIsolation: true } : {};
    const fn = {
      name: functionName!,
      code,
      layers,
      handler: HANDLER,
      environment: {},
      memorySize,
      timeout,
      ...tenancy,
    };
    functions.set(fn.name, fn);
  }
  return { source: resolve(file), manifest, functions: [...functions.values()] };
}

function functionNames(manifest: Manifest): Set<string> {
  return new Set(manifest.hosts.flatMap((host) => (host.functionName ? [host.functionName] : [])));
}

function read(file: string): Manifest {
  let text: string;
  try {
    text = readFileSync(file, 'utf8');
  } catch (error) {
    throw new LocalError('assembly', `${file}: ${(error as Error).message}`, undefined, { cause: error });
  }
  return parseManifest(text);
}

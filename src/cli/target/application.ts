import { spawn } from 'node:child_process';
import { existsSync, mkdirSync, readFileSync, rmSync, statSync } from 'node:fs';
import { delimiter, dirname, join, resolve } from 'node:path';
import { CliError, NEXT_STEPS, usageError } from '../output/errors';

/** What `up PATH` means. `folder` is where the state directory goes by default. */
export type Application =
  | { readonly kind: 'app'; readonly folder: string; readonly command: string; readonly context: object }
  | { readonly kind: 'assembly'; readonly folder: string; readonly assembly: string }
  | { readonly kind: 'manifest'; readonly folder: string; readonly manifest: string };

/** Decides from what is there; reads nothing but cdk.json. */
export function findApplication(path: string): Application {
  const target = resolve(path);
  const stats = statSync(target, { throwIfNoEntry: false });
  if (!stats) throw usageError(`there is no '${path}'`, 'Name the folder of a CDK app, a cdk.out or a manifest.json.');
  if (!stats.isDirectory()) return { kind: 'manifest', folder: dirname(target), manifest: target };
  if (existsSync(join(target, 'cdk.json'))) return readCdkJson(target);
  // A cloud assembly's state belongs beside it: CDK empties cdk.out at will.
  if (existsSync(join(target, 'manifest.json')) && isAssembly(join(target, 'manifest.json'))) {
    return { kind: 'assembly', folder: dirname(target), assembly: target };
  }
  if (existsSync(join(target, 'manifest.json'))) {
    return { kind: 'manifest', folder: target, manifest: join(target, 'manifest.json') };
  }
  throw usageError(
    `'${path}' holds no cdk.json, no cloud assembly and no manifest.json`,
    "Name the folder of a CDK app, e.g. 'imaginary up examples/shop'; 'imaginary up --help' has more.",
  );
}

/** Both kinds of manifest have one name; a cloud assembly's has artifacts, ours has hosts. */
function isAssembly(file: string): boolean {
  try {
    return 'artifacts' in JSON.parse(readFileSync(file, 'utf8'));
  } catch {
    return false; // parseManifest will say what is wrong with it
  }
}

function readCdkJson(folder: string): Application {
  const file = join(folder, 'cdk.json');
  let config: { app?: unknown; context?: object };
  try {
    config = JSON.parse(readFileSync(file, 'utf8'));
  } catch (error) {
    throw new CliError('cdk-json', `${file}: ${(error as Error).message}`);
  }
  if (typeof config.app !== 'string' || config.app.trim() === '') {
    throw new CliError('cdk-json', `${file} has no 'app'`, {
      next: `Say there how the app is run, e.g. { "app": "npx tsx app.ts" }.`,
    });
  }
  const assembly = resolve(folder, config.app);
  if (existsSync(join(assembly, 'manifest.json'))) return { kind: 'assembly', folder, assembly };
  return { kind: 'app', folder, command: config.app, context: { ...config.context, ...readContext(folder) } };
}

function readContext(folder: string): object {
  const file = join(folder, 'cdk.context.json');
  try {
    return JSON.parse(readFileSync(file, 'utf8'));
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return {};
    throw new CliError('cdk-json', `${file}: ${(error as Error).message}`);
  }
}

/**
 * Runs a CDK app as the CDK's own command line does: by its shell command, with the output folder and the context in
 * the environment. No account, credentials or look-ups are involved.
 */
export async function synthesize(app: Extract<Application, { kind: 'app' }>, out: string): Promise<void> {
  rmSync(out, { recursive: true, force: true });
  // Templates hold the guests' environments.
  mkdirSync(out, { recursive: true, mode: 0o700 });
  const context = {
    // What the CDK's command line sets by default; asset metadata names the folder that a function's code came from.
    'aws:cdk:enable-path-metadata': true,
    'aws:cdk:enable-asset-metadata': true,
    'aws:cdk:bundling-stacks': ['**'],
    ...app.context,
  };
  const env = {
    ...process.env,
    CDK_OUTDIR: out,
    CDK_CONTEXT_JSON: JSON.stringify(context),
    PATH: [...binFolders(app.folder), process.env.PATH].join(delimiter),
  };
  const child = spawn(app.command, { shell: true, cwd: app.folder, env, stdio: ['ignore', 'pipe', 'pipe'] });
  let output = '';
  for (const stream of [child.stdout, child.stderr]) stream.setEncoding('utf8').on('data', (text) => (output += text));
  const [code, signal] = await new Promise<[number | null, NodeJS.Signals | null]>((done, fail) => {
    child.on('error', fail);
    child.on('close', (...end) => done(end));
  });
  const said = output.trim() ? `; it said:\n${output.trimEnd().replace(/^/gm, '  ')}` : '';
  if (code !== 0) {
    throw new CliError('synth', `'${app.command}' in ${app.folder} failed (${signal ?? `exit code ${code}`})${said}`, {
      next: /\bENOSPC\b/.test(output) ? NEXT_STEPS.ENOSPC : `Run it by itself: cd ${app.folder} && ${app.command}`,
    });
  }
  if (!existsSync(join(out, 'manifest.json'))) {
    throw new CliError('synth', `'${app.command}' in ${app.folder} wrote no cloud assembly${said}`, {
      next: 'A CDK app ends with app.synth(); let it decide about the output folder (CDK_OUTDIR) by itself.',
    });
  }
}

/** node_modules/.bin of the app's folder and of all above it, nearest first, as npx has it. */
function binFolders(folder: string): string[] {
  const here = join(folder, 'node_modules', '.bin');
  return dirname(folder) === folder ? [here] : [here, ...binFolders(dirname(folder))];
}

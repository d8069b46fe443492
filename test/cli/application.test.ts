import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { type Application, findApplication, synthesize } from '../../src/cli/target/application';
import { temporaryFolder } from './run';

function folderWith(files: Record<string, unknown>): string {
  const folder = temporaryFolder();
  for (const [name, content] of Object.entries(files)) {
    mkdirSync(join(folder, name, '..'), { recursive: true });
    writeFileSync(join(folder, name), typeof content === 'string' ? content : JSON.stringify(content));
  }
  return folder;
}

describe('findApplication', () => {
  test('a folder with a cdk.json is a CDK app, with the context of both files', () => {
    const folder = folderWith({
      'cdk.json': { app: 'npx tsx app.ts', context: { a: 1, b: 1 } },
      'cdk.context.json': { b: 2 },
    });
    expect(findApplication(folder)).toEqual({
      kind: 'app',
      folder,
      command: 'npx tsx app.ts',
      context: { a: 1, b: 2 },
    });
  });
  test('an app that is a cloud assembly already', () => {
    const folder = folderWith({ 'cdk.json': { app: 'cdk.out' }, 'cdk.out/manifest.json': { artifacts: {} } });
    expect(findApplication(folder)).toEqual({ kind: 'assembly', folder, assembly: join(folder, 'cdk.out') });
  });
  test('a cloud assembly keeps its state beside it', () => {
    const folder = folderWith({ 'cdk.out/manifest.json': { artifacts: {} } });
    const assembly = join(folder, 'cdk.out');
    expect(findApplication(assembly)).toEqual({ kind: 'assembly', folder, assembly });
  });
  test('a manifest, by its file or by its folder', () => {
    const folder = folderWith({ 'manifest.json': { version: 1, hosts: [] } });
    const manifest = join(folder, 'manifest.json');
    expect(findApplication(folder)).toEqual({ kind: 'manifest', folder, manifest });
    expect(findApplication(manifest)).toEqual({ kind: 'manifest', folder, manifest });
  });
  test.each([
    ['{', /cdk.json: /],
    [{}, /cdk.json has no 'app'/],
    [{ app: 7 }, /cdk.json has no 'app'/],
  ])('cdk.json %j is refused', (content, message) => {
    expect(() => findApplication(folderWith({ 'cdk.json': content }))).toThrow(message);
  });
});

describe('synthesize', () => {
  const app = (command: string, context = {}): Extract<Application, { kind: 'app' }> => ({
    kind: 'app',
    folder: temporaryFolder(),
    command,
    context,
  });
  test('tells the app where to write and which context to use; what was there before is gone', async () => {
    const out = folderWith({ 'old.json': {} });
    const script =
      'const f = require("fs"), o = process.env.CDK_OUTDIR; f.writeFileSync(o + "/manifest.json", process.env.CDK_CONTEXT_JSON); f.readdirSync(o).length === 1 || process.exit(1)';
    await synthesize(app(`node -e '${script}'`, { 'aws:cdk:enable-path-metadata': false, mine: 1 }), out);
    expect(JSON.parse(readFileSync(join(out, 'manifest.json'), 'utf8'))).toMatchObject({
      mine: 1,
      'aws:cdk:enable-asset-metadata': true,
      'aws:cdk:enable-path-metadata': false,
    });
  });
  test('an app that writes nothing is an error', async () => {
    await expect(synthesize(app('true'), temporaryFolder())).rejects.toThrow(/wrote no cloud assembly/);
  });
  test("the app's own node_modules/.bin comes first", async () => {
    const own = app('cdk-hello');
    mkdirSync(join(own.folder, 'node_modules/.bin'), { recursive: true });
    writeFileSync(join(own.folder, 'node_modules/.bin/cdk-hello'), '#!/bin/sh\necho {} > $CDK_OUTDIR/manifest.json\n', {
      mode: 0o755,
    });
    await synthesize(own, temporaryFolder());
  });
});

/**
 * The manifest as a file asset. Its content is known only when the app is complete (hosts may be added until then), so
 * the file is written when a token that refers to it is resolved, which is before the list of assets is.
 */
import { createHash } from 'node:crypto';
import * as fs from 'node:fs';
import * as path from 'node:path';
import { type FileAssetLocation, FileAssetPackaging, Lazy, Stack, Stage } from 'aws-cdk-lib';
import type { Construct } from 'constructs';

interface StagedFile {
  readonly location: FileAssetLocation;
  readonly path: string;
}

export class ManifestAsset {
  /** Name of the bucket that the file is deployed to. */
  readonly bucketName = Lazy.string({ produce: () => this.stage().location.bucketName });
  readonly objectKey = Lazy.string({ produce: () => this.stage().location.objectKey });
  /** Where the file is in the cloud assembly, relative to the stack's template. */
  readonly path = Lazy.string({ produce: () => this.stage().path });

  private readonly staged = new Map<string, StagedFile>();

  /** @param render gives the file's content, or undefined if there is none and validation will stop the synthesis */
  constructor(
    private readonly scope: Construct,
    private readonly render: () => string | undefined,
  ) {}

  private stage(): StagedFile {
    const content = this.render();
    if (content === undefined)
      return { path: '-', location: { bucketName: '-', objectKey: '-', httpUrl: '-', s3ObjectUrl: '-' } };
    const sourceHash = createHash('sha256').update(content).digest('hex');
    const known = this.staged.get(sourceHash);
    if (known) return known;
    const stack = Stack.of(this.scope);
    const stage = Stage.of(this.scope)!;
    const file = path.join(stage.assetOutdir, `asset.${sourceHash}.json`);
    fs.writeFileSync(file, content);
    const fileName = path.relative(stage.outdir, file);
    const location = stack.synthesizer.addFileAsset({ fileName, sourceHash, packaging: FileAssetPackaging.FILE });
    const staged = { location, path: fileName };
    this.staged.set(sourceHash, staged);
    return staged;
  }
}

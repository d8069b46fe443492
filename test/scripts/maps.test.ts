/**
 * Each folder of src opens with a map, or stands in that of the folder above: no file is left out, none is named that
 * is gone.
 */
import { execFileSync } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { basename, dirname, join, resolve } from 'node:path';

const root = resolve(__dirname, '../..');
const files = execFileSync('git', ['ls-files', '--cached', '--others', '--exclude-standard', 'src', 'test'], {
  cwd: root,
  encoding: 'utf8',
})
  .trim()
  .split('\n')
  .filter((file) => existsSync(join(root, file)));

/** The README of a folder, or of the nearest one above. */
function mapOf(folder: string): string | undefined {
  const own = join(folder, 'README.md');
  if (files.includes(own)) return own;
  return folder === 'src' || folder === '.' ? undefined : mapOf(dirname(folder));
}

/** The words in backquotes, with `{a,b}` written out. */
function named(map: string): string[] {
  const words = [...readFileSync(join(root, map), 'utf8').matchAll(/`([^`\n]+)`/g)].map(([, word]) => word);
  return words.flatMap((word) => {
    const [, before, choices, after] = /^(.*)\{([^{}]+)\}(.*)$/.exec(word) ?? [];
    return choices === undefined ? [word] : choices.split(',').map((choice) => before + choice.trim() + after);
  });
}

const sources = files.filter((file) => file.startsWith('src/') && /\.(ts|c|h|sh)$/.test(file));
const folders = [...new Set(sources.map(dirname))].filter((folder) => folder !== 'src');

test.each(folders)('%s', (folder) => {
  const map = mapOf(folder);
  expect(map).toBeDefined();
  const words = named(map!);
  const missing = sources.filter((file) => {
    if (dirname(file) !== folder || basename(file) === 'index.ts') return false;
    const path = file.slice(dirname(map!).length + 1);
    // A header goes with the source of its name.
    const names = [path, basename(path)].flatMap((name) => [
      name,
      name.replace(/\.h$/, '.c'),
      name.replace(/\.[ch]$/, ''),
    ]);
    return !names.some((name) => words.includes(name));
  });
  expect(missing).toEqual([]);
});

test('files that a map names are there', () => {
  const gone = [...new Set(files.filter((file) => /^src\/.*README\.md$/.test(file)))].flatMap((map) =>
    named(map)
      .filter((word) => /^[\w./-]+\.(ts|c|h|sh)$/.test(word))

      .filter((word) => !existsSync(join(root, word)) && !existsSync(join(root, dirname(map), word)))
      .filter((word) => !files.some((file) => file.endsWith(`/${word}`)))
      .map((word) => `${map}: ${word}`),
  );
  expect(gone).toEqual([]);
});

/** What C sources are made of: the files that they include, wherever these are, as a compiler finds them. */
import * as fs from 'node:fs';
import * as path from 'node:path';

const INCLUDE = /^[ \t]*#[ \t]*(?:include|include_next|import)[ \t]*(?:"([^"\n]+)"|<([^>\n]+)>)/gm;

/**
 * The sources and all that they include, directly or not, sorted. Headers of the compiler's own are left out: they
 * change with it. Conditions are not looked at: what is included under one of them counts.
 * @param folders those of the `-I` flags
 */
export function includedBy(sources: readonly string[], folders: readonly string[]): string[] {
  const found = new Set<string>();
  const visit = (file: string) => {
    const normal = path.normalize(file);
    if (found.has(normal)) return;
    found.add(normal);
    for (const [, quoted, angled] of fs.readFileSync(normal, 'utf8').matchAll(INCLUDE)) {
      const places = quoted === undefined ? folders : [path.dirname(normal), ...folders];
      const there = places.map((place) => path.join(place, quoted ?? angled)).find((name) => fs.existsSync(name));
      if (there !== undefined) visit(there);
    }
  };
  sources.forEach(visit);
  return [...found].sort();
}

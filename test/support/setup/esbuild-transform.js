/** A jest transformer: TypeScript to CommonJS by esbuild. No type check (the `typecheck` task does that), no hoisting. */
const { createHash } = require('node:crypto');
const esbuild = require('esbuild');

const options = {
  loader: 'ts',
  format: 'cjs',
  target: 'node20',
  sourcemap: 'external',
  sourcesContent: false,
  // jest's vm contexts have no import(): it becomes a require().
  supported: { 'dynamic-import': false },
};

module.exports = {
  process(source, path) {
    const { code, map } = esbuild.transformSync(source, { ...options, sourcefile: path });
    return { code, map: JSON.parse(map) };
  },
  getCacheKey(source, path) {
    return createHash('sha256')
      .update(esbuild.version)
      .update(JSON.stringify(options))
      .update(path)
      .update(source)
      .digest('hex');
  },
};

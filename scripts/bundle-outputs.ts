/** What `bundle` builds: one list for JavaScript, one for native code. */
import type { BuildOptions } from 'esbuild';

/** Lambda's names; also the names of the folders. */
export const ARCHITECTURES = ['x86_64', 'arm64'] as const;

export interface JsOutput {
  readonly entry: string;
  /** Every place that the same bundle goes to. */
  readonly files: readonly string[];
  /** Starts with a shebang and is executable. */
  readonly executable?: boolean;
  /** Loads modules of others, which may be ES modules: its `import()` stays one. */
  readonly importsOthers?: boolean;
  /** A cold start reads it: see `CALLED_LATE`. */
  readonly isCold?: boolean;
}

/**
 * Not part of the bundles that load them: they lie beside those. What a bundle loads late and has inside costs a cold
 * start 8 ms of a processor, as esbuild wraps each of its modules in a function.
 */
export const LOADED_LATE = ['./supervisor.js', './resolver-server.js', './secret-value.js'];

/** In the bundle that each cold start reads, these are loaded with the first call: together they take 3 ms of one. */
const CALLED_LATE = ['node:child_process', 'node:dgram', 'node:zlib'];
const CALLED_LATE_BY = './src/runtime/lambda/called-late.ts';

export const JS_OUTPUTS: readonly JsOutput[] = [
  {
    entry: 'src/runtime/lambda/handler.ts',
    files: ARCHITECTURES.map((arch) => `lambda-layers/supervisor/${arch}/imaginary/handler.js`),
  },
  {
    entry: 'src/runtime/lambda/supervisor.ts',
    files: ARCHITECTURES.map((arch) => `lambda-layers/supervisor/${arch}/imaginary/supervisor.js`),
    isCold: true,
  },
  {
    entry: 'src/runtime/supervisor/names/resolver-server.ts',
    files: [
      ...ARCHITECTURES.map((arch) => `lambda-layers/supervisor/${arch}/imaginary/resolver-server.js`),
      'assets/cli/resolver-server.js',
    ],
  },
  { entry: 'src/runtime/seed/main.ts', files: ['assets/seed/seed.js'] },
  { entry: 'src/local/lambda/bootstrap.ts', files: ['assets/local/bootstrap.js'], importsOthers: true },
  { entry: 'src/cli/target/secret-value.ts', files: ['assets/cli/secret-value.js'] },
  { entry: 'src/cli/main.ts', files: ['assets/cli/imaginary.js'], executable: true },
];

/** What V8 has compiled of that bundle ahead, for the architecture of the machine that builds (`scripts/code-cache.ts`). */
export const CODE_CACHE = ['supervisor.js', 'supervisor.cache'].map(
  (name) => `lambda-layers/supervisor/${process.arch === 'arm64' ? 'arm64' : 'x86_64'}/imaginary/${name}`,
) as [bundle: string, cache: string];

/** How esbuild builds an output, wherever it is written. */
export function toEsbuild({ entry, executable, importsOthers = false, isCold = false }: JsOutput) {
  return {
    entryPoints: [entry],
    bundle: true,
    platform: 'node',
    target: 'node20',
    format: 'cjs',
    // `require` loads what lies beside: a true `import()` first loads Node.js' own loader of ES modules, for 60 ms.
    supported: { 'dynamic-import': importsOthers },
    // Not `keepNames`: it gives every closure a dictionary of properties each time that one is made, which took a seed
    // 7 KB a host.
    minify: true,
    legalComments: 'none',
    external: ['*.node', ...LOADED_LATE],
    banner: executable ? { js: '#!/usr/bin/env node' } : undefined,
    alias: isCold ? Object.fromEntries(CALLED_LATE.map((name) => [name, CALLED_LATE_BY])) : {},
    logLevel: 'warning',
  } satisfies BuildOptions;
}

/** Files that ship as they are, `[from, to]`. */
export const COPIES: ReadonlyArray<readonly [string, string]> = [
  ['src/constructs/seed/install.sh', 'assets/seed/install.sh'],
  ['src/constructs/instance/install.sh', 'assets/instance/install.sh'],
];

export interface NativeOutput {
  /** `<arch>` stands for one of ARCHITECTURES. */
  readonly file: string;
  /** All `.c` files directly in these folders are compiled. */
  readonly folders: readonly string[];
  readonly libc: 'gnu.2.26' | 'musl';
  readonly flags: readonly string[];
  readonly executable?: boolean;
}

/** No `-g` (it embeds the build directory), stripped, and `__FILE__` relative: the same bytes wherever it is built. */
const COMMON = ['-O2', '-Wall', '-Wextra', '-Werror', '-s', '-fno-ident', '-ffile-prefix-map=./='];
const SHARED = [...COMMON, '-shared', '-fPIC', '-fvisibility=hidden'];
/** Headers are named from these folders, or lie beside who includes them. */
export const INCLUDE_NATIVE = ['-I', 'src/native', '-I', 'src'];
export const INCLUDE_SHIM = ['-I', 'src/shim', '-I', 'src'];
const SHIM = [...SHARED, ...INCLUDE_SHIM, '-D_GNU_SOURCE'];
export const SHIM_FOLDERS = [
  'hooks',
  'core',
  'connect',
  'connect/waiting',
  'listen',
  'datagram',
  'names',
  'files',
  'process',
  'interrupts',
].map((folder) => `src/shim/${folder}`);

export const NATIVE_OUTPUTS: readonly NativeOutput[] = [
  {
    file: 'lambda-layers/supervisor/<arch>/imaginary/native.node',
    folders: ['src/native/addon', 'src/native/base', 'src/native/connector', 'src/native/relay'],
    libc: 'gnu.2.26',
    flags: [...SHARED, ...INCLUDE_NATIVE, '-I', 'node_modules/node-api-headers/include'],
  },
  {
    file: 'lambda-layers/shim/<arch>/imaginary/shim-glibc.so',
    folders: SHIM_FOLDERS,
    libc: 'gnu.2.26',
    flags: SHIM,
  },
  {
    file: 'lambda-layers/shim/<arch>/imaginary/shim-musl.so',
    folders: SHIM_FOLDERS,
    libc: 'musl',
    flags: SHIM,
  },
  {
    file: 'assets/native/<arch>/sandbox',
    folders: ['src/native/base', 'src/native/sandbox'],
    libc: 'musl',
    flags: [...COMMON, ...INCLUDE_NATIVE, '-static'],
    executable: true,
  },
  {
    file: 'assets/native/<arch>/network',
    folders: ['src/native/base', 'src/native/netns'],
    libc: 'musl',
    flags: [...COMMON, ...INCLUDE_NATIVE, '-std=c11', '-static'],
    executable: true,
  },
  {
    file: 'assets/native/<arch>/forward',
    folders: ['src/native/base', 'src/native/relay', 'src/native/forward'],
    // Not static: the shim is preloaded below it.
    libc: 'gnu.2.26',
    flags: [...COMMON, ...INCLUDE_NATIVE, '-ffunction-sections', '-Wl,--gc-sections'],
    executable: true,
  },
];

/**
 * The manifest: the one contract between synth time and run time.
 *
 * Owns its type, its schema and how virtual addresses are assigned. Used by `constructs` (which produces it) and by
 * `runtime`, `local` and `cli` (which read it unchanged). Imports nothing of the project.
 */
export * from './address';
export * from './assign';
export * from './manifest';
export * from './parse';

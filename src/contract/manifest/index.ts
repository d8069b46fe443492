export * from './address';
export * from './assign';
export * from './end';
export * from './expose';
export * from './expose-limits';
export * from './limits';
export * from './manifest';
export * from './parse';
export type { ManifestService } from './service';

export * from './address';
export * from './assign';
export * from './end';
export * from './limits';
export * from './manifest';
export * from './parse';

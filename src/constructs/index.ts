export * from './host-function';
export * from './host-options';
export * from './imaginary-cluster';
export * from './seed-node';

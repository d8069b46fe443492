export * from './cluster/cluster-props';
export * from './cluster/cluster-reference';
export * from './cluster/imaginary-cluster';
export * from './host/host-function';
export * from './host/host-options';
export * from './host/ready';
export * from './host/start-barrier';
export * from './seed/seed-node';

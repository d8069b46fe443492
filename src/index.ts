/** The public API: constructs and their props, nothing else. */
export * from './constructs';

/** What the handler loads: a bundle of its own, so that its modules need no wrappers (`scripts/bundle-outputs.ts`). */
export { parseInvocation } from '../../contract/platform/invocation';
export { toStdout } from '../supervisor/run/log';
export { Supervisor } from '../supervisor/run/supervisor';

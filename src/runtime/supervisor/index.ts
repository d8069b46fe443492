/** What the handler loads, see README.md. */
export { toStdout } from './log';
export { createSupervisor, type Supervisor } from './supervisor';

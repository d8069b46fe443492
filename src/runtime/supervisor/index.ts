/** What the handler loads, see README.md. */
export { toStdout } from './run/log';
export { createSupervisor, type Supervisor } from './run/supervisor';

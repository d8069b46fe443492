/** What the handler loads, see README.md. */
export { toStdout } from './run/log';
export { Supervisor } from './run/supervisor';

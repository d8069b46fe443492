/**
 * The control network, as its users see it. Owns: TLS with pre-shared keys, frames on a socket, heartbeats,
 * reconnecting.
 *
 * - `openSession`: a supervisor's place in the cluster (join, locate, ports, suspend, leave), for `supervisor`.
 * - `fetchStatus`, `fetchEdges`, `readEvents`, `orderHost`, `reloadKeys`: an operator's requests, for `cli` and `local`.
 * - `openControl`: one bare connection, for other protocols on top of it, and for tests.
 *
 * The server side is in `server.ts`, for `seed` only.
 */
export {
  type Control,
  ControlError,
  type ControlOptions,
  openControl,
  type SeedAccess,
  type SeedEndpoint,
} from './connection';
export { BarrierError, type BarrierRule, type Coordination, type MembersHandler } from './coordination';
export { type Located, LocateError } from './locates';
export { fetchEdges, fetchStatus, orderHost, readEvents, reloadKeys } from './operator-session';
export type { Parked } from './parked';
export type { ServiceFrames } from './service-frames';
export { openSession, type Session } from './session';
export type {
  JoinFrame,
  LeaveFrame,
  Log,
  PortsFrame,
  ReportDetail,
  SessionOptions,
  Welcome,
} from './session-options';

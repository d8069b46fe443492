/** What the parts of a run have in common. */
import type { NativeAddon } from '../../../native/addon';
import type { OwnProgram } from '../guest/guest';
import type { Write } from './log';
import type { RunDir } from './run-dir';

export interface SupervisorSettings {
  readonly runDir: string;
  /** Network `flat`: the cluster's number N. */
  readonly flat?: number;
  /** What the function process has. */
  readonly environment: Readonly<Record<string, string | undefined>>;
  /** Where `native.node` is; see `loadNative`. */
  readonly nativeDir?: string;
  /** Where the shims are; see `findShim`. */
  readonly shimDir?: string;
  /** See `GuestOptions`. */
  readonly own?: OwnProgram;
  /** Writes to the host's log. */
  readonly write: Write;
}

/** What a host's run takes from the sandbox. */
export interface SandboxFiles {
  readonly native: NativeAddon;
  readonly runDir: RunDir;
}

/** The supervisor cannot do what it was invoked for. The message reaches the operator as the function's error. */
export class SupervisorError extends Error {
  constructor(
    readonly code: 'busy' | 'wrong-host' | 'not-joined' | 'no-command',
    message: string,
  ) {
    super(message);
    this.name = 'SupervisorError';
  }
}

/** Exit codes of every command. `exec` has those of the command it ran, and 125 for a failure of its own. */
export const EXIT = { ok: 0, failure: 1, usage: 2, exec: 125 } as const;

/** A failure that the user can act on: what went wrong, and what to do next. */
export class CliError extends Error {
  readonly code: string;
  /** The next step, as a sentence or a command line. */
  readonly next?: string;
  readonly exitCode: number;

  constructor(code: string, message: string, options: { next?: string; exitCode?: number; cause?: unknown } = {}) {
    super(message, { cause: options.cause });
    this.name = 'CliError';
    this.code = code;
    this.next = options.next;
    this.exitCode = options.exitCode ?? EXIT.failure;
  }
}

/** An argument that cannot be meant. */
export function usageError(message: string, next?: string): CliError {
  return new CliError('usage', message, { next, exitCode: EXIT.usage });
}

const OTHER_STATE = 'choose another state directory with --state DIR.';
export const NEXT_STEPS: Readonly<Record<string, string>> = {
  ENOSPC: `Free space on that disk, or ${OTHER_STATE}`,
  EACCES: `Get write access there, or ${OTHER_STATE}`,
  EROFS: `That file system is read-only: ${OTHER_STATE}`,
};

/** The plain form of any error, as it goes over a process boundary and into `--json`. */
export interface ErrorReport {
  readonly code: string;
  readonly message: string;
  readonly next?: string;
  readonly exitCode: number;
}

export function reportOf(error: unknown): ErrorReport {
  if (error instanceof CliError) {
    const { code, message, next, exitCode } = error;
    return { code, message, ...(next ? { next } : {}), exitCode };
  }
  const { name, message, code, stack } = error as NodeJS.ErrnoException;
  // Of a mistake in the program itself the stack is the only trace; all other errors say enough by themselves.
  const bug = error instanceof TypeError || error instanceof ReferenceError || error instanceof RangeError;
  const next = code === undefined ? undefined : NEXT_STEPS[code];
  return {
    code: code ?? name ?? 'unexpected',
    message: (bug ? stack : message) ?? String(error),
    ...(next ? { next } : {}),
    exitCode: EXIT.failure,
  };
}

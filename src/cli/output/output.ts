import { type ErrorReport, EXIT, reportOf } from './errors';
import { painter } from './terminal';

/** Where a command's results go. */
export interface Output {
  readonly json: boolean;
  /** A result: one JSON object on a line with `--json`, else what `text` says. Callable many times by a stream. */
  result(value: object, text: () => string): void;
}

export function outputTo(stream: NodeJS.WritableStream, json: boolean): Output {
  return {
    json,
    result: (value, text) => {
      const line = json ? JSON.stringify(value) : text();
      if (line !== '') stream.write(`${line}\n`);
    },
  };
}

/**
 * Tells an error: on standard error for people, as one object on standard output with `--json`. Returns the exit code.
 */
export function tellError(error: unknown, json: boolean): number {
  const report = reportOf(error);
  if (json) {
    process.stdout.write(
      `${JSON.stringify({ error: { code: report.code, message: report.message, next: report.next ?? null } })}\n`,
    );
  } else {
    process.stderr.write(`${errorText(report)}\n`);
  }
  return report.exitCode;
}

function errorText(report: ErrorReport): string {
  const paint = painter(process.stderr);
  const next = report.next ? `\n${paint('bold', 'next:')} ${report.next}` : '';
  return `${paint('red', 'imaginary:')} ${report.message}${next}`;
}

/** A reader that went away (`imaginary events | head -1`) ends the command quietly. */
export function endOnClosedPipe(): void {
  process.stdout.on('error', (error: NodeJS.ErrnoException) => {
    if (error.code === 'EPIPE') process.exit(EXIT.ok);
    throw error;
  });
}

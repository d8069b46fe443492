/** What the command lines of chaos and soak have in common. */

/** The command line is wrong; the message says what is allowed. */
export class UsageError extends Error {}

/** What `parse` makes of the command line. @throws UsageError instead of its own error */
export function flagsOf<T>(parse: () => T): T {
  try {
    return parse();
  } catch (error) {
    throw new UsageError((error as Error).message);
  }
}

/** @throws UsageError */
export function whole(flag: string, text: string, low: number, high: number): number {
  const value = Number(text);
  if (Number.isInteger(value) && value >= low && value <= high) return value;
  throw new UsageError(`--${flag} is '${text}'; allowed: a whole number from ${low} to ${high}`);
}

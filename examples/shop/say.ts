/** What the demo prints: commands with their output, and claims. */
import { commandLine, must, type Run } from './imaginary';

export const colour = process.stdout.isTTY === true && !process.env.NO_COLOR;
export const paint = (code: string, text: string) => (colour ? `\x1b[${code}m${text}\x1b[0m` : text);
export const print = (text = '') => process.stdout.write(`${text}\n`);
export const indent = (text: string) => text.trimEnd().replace(/^/gm, '    ');
export const ms = (value: number) => `${Math.round(value)} ms`;

/** One claim of the demo: printed when it holds, the end of its step when it does not. */
export function check(holds: boolean, claim: string, otherwise: string): void {
  if (!holds) throw new Error(`${claim}: ${otherwise}`);
  print(`  ${paint('32', '✔')} ${claim}`);
}

export async function show(...args: string[]): Promise<Run> {
  print(`\n  ${paint('1', `$ ${commandLine(args)}`)}`);
  const run = await must(...args);
  print(indent(run.stdout || run.stderr));
  return run;
}

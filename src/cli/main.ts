/** Entry of the `imaginary` command. */

import { readFileSync } from 'node:fs';
import { CommanderError } from 'commander';
import { EXIT, usageError } from './output/errors';
import { endOnClosedPipe, tellError } from './output/output';
import { packageFile } from './package';
import { buildProgram } from './program';

async function main(argv: readonly string[]): Promise<number> {
  let exitCode: number = EXIT.ok;
  const { version } = JSON.parse(readFileSync(packageFile('package.json'), 'utf8'));
  const program = buildProgram(version, (code) => {
    exitCode = code;
  });
  try {
    if (argv.length === 0) {
      program.outputHelp({ error: true });
      return EXIT.usage;
    }
    await program.parseAsync(argv, { from: 'user' });
    return exitCode;
  } catch (error) {
    if (!(error instanceof CommanderError)) return tellError(error, wantsJson(argv));
    if (error.exitCode === 0) return EXIT.ok; // help or version, which is printed
    const known = program.commands.find((command) => command.name() === argv[0]);
    const help = `imaginary ${known ? `${argv[0]} ` : ''}--help`;
    return tellError(usageError(error.message.replace(/^error: /, ''), help), wantsJson(argv));
  }
}

/** Also where the options could not be parsed. What follows `--` belongs to another command. */
function wantsJson(argv: readonly string[]): boolean {
  const end = argv.indexOf('--');
  return argv.slice(0, end < 0 ? undefined : end).includes('--json');
}

endOnClosedPipe();
void main(process.argv.slice(2)).then((code) => {
  process.exitCode = code;
});

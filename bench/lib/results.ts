import { mkdirSync, writeFileSync } from 'node:fs';
import { loadavg } from 'node:os';
import { join } from 'node:path';

const FOLDER = join(__dirname, '..', 'results');

/** Keeps a file of a suite's results. */
export function keep(name: string, text: string): void {
  mkdirSync(FOLDER, { recursive: true });
  writeFileSync(join(FOLDER, name), text);
}

/** How busy the machine was, for whoever reads the figures. */
export function loadNote(): string {
  return `Load average of the machine when this was taken: ${loadavg()
    .map((load) => load.toFixed(1))
    .join(', ')}.`;
}

/**
 * Writes the generated part of docs/lifecycle.md: the states of a host and what changes them, as the model of the seed
 * finds them. Run through `npx projen lifecycle`; a test compares the file with a fresh generation.
 */
import * as fs from 'node:fs';
import * as path from 'node:path';
import { type Transition, transitionsOf } from '../src/runtime/seed/model/transitions';

export const LIFECYCLE = path.resolve(__dirname, '../docs/lifecycle.md');
const BEGIN = '<!-- begin: npx projen lifecycle -->';
const END = '<!-- end: npx projen lifecycle -->';

const base = { hosts: 1, clients: [2], faults: 1, cycles: 1, reserved: false };
const SIZES = [
  base,
  { ...base, faults: 2, clients: [1], cycles: 0 },
  { ...base, faults: 0, clients: [1], orders: 1 },
  { ...base, clients: [1], cycles: 0, machines: 2 },
];

/** @returns the text of the file with its generated part anew */
export function generate(text: string): string {
  const begin = text.indexOf(BEGIN);
  const end = text.indexOf(END);
  if (begin < 0 || end < begin) throw new Error(`${LIFECYCLE} has no part between '${BEGIN}' and '${END}'`);
  const transitions = transitionsOf(SIZES, 60_000);
  return `${text.slice(0, begin + BEGIN.length)}\n\n${diagram(transitions)}\n\n${table(transitions)}\n\n${text.slice(end)}`;
}

function diagram(transitions: readonly Transition[]): string {
  const arrows = transitions.map(({ from, to }) => `  ${from} --> ${to}`);
  return ['```mermaid', 'stateDiagram-v2', '  [*] --> imagined', ...arrows, '```'].join('\n');
}

function table(transitions: readonly Transition[]): string {
  const rows = transitions.map(({ from, to, by }) => `| \`${from}\` | \`${to}\` | ${by.join('; ')} |`);
  return ['| from | to | by |', '| --- | --- | --- |', ...rows].join('\n');
}

if (require.main === module) fs.writeFileSync(LIFECYCLE, generate(fs.readFileSync(LIFECYCLE, 'utf8')));

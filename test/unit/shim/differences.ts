/** What a guest of the shim sees otherwise than natively, by test: docs/transparency.md has the reasons. */
export interface Difference {
  readonly area: string;
  readonly name: string;
  /** Lines of the native output that are others under the shim, in order: native, shim. */
  readonly lines: readonly (readonly [string, string])[];
}

export const DIFFERENCES: readonly Difference[] = [
  {
    area: 'pending',
    name: 'dup by fcntl',
    lines: [
      ['connect: EALREADY', 'connect: EINVAL'],
      ['ping: ok', 'ping: EINVAL'],
    ],
  },
  { area: 'waiting', name: 'polled by a child', lines: [['poll: nothing', 'poll: OUT HUP']] },
  {
    area: 'listening',
    name: 'a port that is taken',
    lines: [
      [
        'bind: EADDRINUSE\nbind: EADDRINUSE\nbind: EADDRINUSE\nbind: ok',
        'bind: EADDRINUSE\nbind: EADDRINUSE\nbind: ok\nbind: EINVAL',
      ],
    ],
  },
  {
    area: 'addresses',
    name: 'IPv6 loopback',
    lines: [
      [
        'from: [LOOP]:some (28)\nlocal: [LOOP]:P+1 (28)\nremote: [LOOP]:some (28)',
        'from: [mapped LOOP]:some (28)\nlocal: [mapped LOOP]:P+1 (28)\nremote: [mapped LOOP]:some (28)',
      ],
    ],
  },
];

/** The native output as it is to be under the shim. */
export function expected(area: string, name: string, native: string): string {
  const known = DIFFERENCES.find((one) => one.area === area && one.name === name);
  let rest = native;
  let done = '';
  for (const [theirs, ours] of known?.lines ?? []) {
    const start = rest.indexOf(theirs);
    if (start < 0) throw new Error(`natively, '${area}: ${name}' does not say '${theirs}':\n${native}`);
    done += rest.slice(0, start) + ours;
    rest = rest.slice(start + theirs.length);
  }
  return done + rest;
}

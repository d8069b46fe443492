import { HANDOFF_WAYS, type Way } from './differential';

/** What a guest of the shim sees otherwise than natively, by test: docs/transparency.md has the reasons. */
export interface Difference {
  readonly area: string;
  readonly name: string;
  /** Where it is seen; absent: everywhere. */
  readonly ways?: readonly Way[];
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
  {
    area: 'active',
    name: 'a duplicate made before',
    ways: HANDOFF_WAYS,
    lines: [['remote: PEER:P+0 (16)\nping: ok\n', 'remote: ENOTCONN\nping: EPIPE\n']],
  },
  // The header of a pooled connection is under way: the guest's first small write is not to wait for its
  // acknowledgement.
  {
    area: 'active',
    name: 'options, none of them set',
    ways: ['ready'],
    lines: [
      ['TCP_NODELAY 0', 'TCP_NODELAY 1'],
      ['TCP_NODELAY 0', 'TCP_NODELAY 1'],
    ],
  },
  {
    area: 'sources',
    name: 'AF_UNSPEC disconnects',
    ways: ['direct', 'ask'],
    lines: [['local: ANY:some', 'local: SELF:some']],
  },
  {
    area: 'sources',
    name: 'bound to a source that is taken',
    ways: HANDOFF_WAYS,
    lines: [['bind: EADDRINUSE', 'bind: ok']],
  },
  {
    area: 'sources',
    name: 'bound to a source that may be shared, connected twice',
    ways: HANDOFF_WAYS,
    lines: [['connect: EADDRNOTAVAIL', 'connect: ok']],
  },
  { area: 'waiting', name: 'shared with a child', ways: HANDOFF_WAYS, lines: [['ping: ok', 'ping: EPIPE']] },
  { area: 'waiting', name: 'left to a child', ways: HANDOFF_WAYS, lines: [['ping: ok', 'ping: EPIPE']] },
  {
    area: 'processes',
    name: 'another user',
    ways: process.getuid?.() === 0 ? HANDOFF_WAYS : [],
    lines: [
      ['connect: ok\nremote: PEER:P+0 (16)\nping: ok', 'connect: EHOSTUNREACH\nremote: ENOTCONN\nping: EPIPE'],
      ['end\n', `end\nimaginary: this host's supervisor does not answer; other hosts are unreachable\n\n`],
    ],
  },
];

/** The native output as it is to be under the shim. */
export function expected(area: string, name: string, way: Way, native: string): string {
  const known = DIFFERENCES.find((one) => one.area === area && one.name === name && (one.ways ?? [way]).includes(way));
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

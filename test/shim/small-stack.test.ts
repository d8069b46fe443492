/** A guest may call from a signal's handler, on a stack that is small: the shim needs little of it. */
import { execFileSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { FILES_MAGIC } from '../../src/contract/abi/shim';
import { has, type Network, root, shimSources, startPeer } from './harness';

jest.setTimeout(180_000);

const LARGEST_FRAME = 1280;

/** They run once, when the process starts, on its first thread's stack. */
const AT_START = ['files_open', 'sockets_open', 'table_open'];

/**
 * Their frames grow: with a path, up to IM_FILES_STACK; with the guest's own arguments and environment; with PATH, as
 * in libc.
 */
const GROW = ['on_path', 'program_library_found', 'remapped_realpath'];

const withGcc = has('gcc') ? test : test.skip;

withGcc('no function takes much of the stack', () => {
  const folder = mkdtempSync(join(tmpdir(), 'imaginary-stack-'));
  try {
    const flags = [
      '-std=c11',
      '-D_GNU_SOURCE',
      '-O2',
      '-fPIC',
      '-fstack-usage',
      '-c',
      '-I',
      join(root, 'src/shim'),
      '-I',
      join(root, 'src'),
    ];
    execFileSync('gcc', [...flags, ...shimSources()], { cwd: folder });
    const frames = readdirSync(folder)
      .filter((name) => name.endsWith('.su'))
      .flatMap((name) => readFileSync(join(folder, name), 'utf8').trim().split('\n'))
      .map((line) => {
        const [place, size, kind] = line.split('\t');
        const [, file, name] = /([^/]+\.c):\d+:\d+:(\w+)/.exec(place) ?? [];
        return { file, name, size: Number(size), grows: kind === 'dynamic' };
      });
    expect(frames.length).toBeGreaterThan(300);
    const large = frames.filter(({ name, size }) => size > LARGEST_FRAME && !AT_START.includes(name));
    const paths = ['hooks_files.c', 'hooks_exec.c'];
    const grow = frames.filter(({ file, name, grows }) => grows && !paths.includes(file) && !GROW.includes(name));
    expect([...large, ...grow]).toEqual([]);
  } finally {
    rmSync(folder, { recursive: true });
  }
});

const NETWORKS: readonly [Network, number][] = [
  ['flat', 20],
  ['handoff', 22],
];

test.each(NETWORKS)(
  'calls on remapped paths and on sockets, in a handler on 8,192 bytes (network %s)',
  async (network, flat) => {
    const peer = await startPeer(flat, ['plain'], network);
    try {
      const folder = join(peer.folder, 'place');
      mkdirSync(join(folder, 'sub'), { recursive: true });
      writeFileSync(join(folder, 'name'), 'imagined\n');
      const files = [FILES_MAGIC, '/etc/hostname', join(folder, 'name'), '/no/such/place', folder];
      writeFileSync(join(peer.folder, 'web', 'files'), files.map((text) => `${text}\0`).join(''));
      const result = await (await peer.program('web', 'small_stack', [folder])).ended;
      // The last line is the call that needed more.
      expect(result.stdout.trim().split('\n').at(-1)).toBe('end');
      expect(result).toMatchObject({ code: 0, stderr: '' });
    } finally {
      await peer.close();
    }
  },
);

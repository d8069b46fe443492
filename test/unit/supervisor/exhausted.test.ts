/** A process without descriptors that looks after guests: what it cannot read it does not take for gone. */
import { execFileSync, spawn } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { buildSync } from 'esbuild';

const ROOT = resolve(__dirname, '../../..');
/** Opens all descriptors that there are, leaves `free` of them, and lists. */
const LOOKER = `
import { closeSync, openSync } from 'node:fs';
import { socketInodes, trackGuests } from '${ROOT}/src/runtime/supervisor/processes';
const pid = Number(process.argv[2]);
const guests = trackGuests({ mapped: '/nothing' });
guests.add(pid);
const look = () => {
  try {
    const listed = guests.list().some((guest) => guest.pid === pid);
    socketInodes(pid);
    return listed ? 'there' : 'gone';
  } catch (error) {
    return (error as NodeJS.ErrnoException).code;
  }
};
const first = look();
const held: number[] = [];
try {
  for (;;) held.push(openSync('/dev/null', 'r'));
} catch {}
const looks = [look()];
// One is enough for the folder, and not for what is read meanwhile.
for (let free = 0; free < 3; free++) {
  closeSync(held.pop()!);
  looks.push(look());
}
for (const fd of held) closeSync(fd);
console.log(JSON.stringify([first, looks, look()]));
`;

test('guests are never taken for gone for want of descriptors, and are there when there are some again', () => {
  const folder = mkdtempSync(join(tmpdir(), 'imaginary-exhausted-'));
  const guest = spawn('sleep', ['60'], { detached: true });
  try {
    const outfile = join(folder, 'looker.js');
    buildSync({
      stdin: { contents: LOOKER, loader: 'ts', resolveDir: ROOT },
      ...{ outfile, bundle: true, platform: 'node', format: 'cjs' },
    });
    const script = `ulimit -n 64; exec "$0" "$1" ${guest.pid}`;
    const [first, looks, last] = JSON.parse(
      execFileSync('sh', ['-c', script, process.execPath, outfile], { encoding: 'utf8' }),
    );
    expect([first, last]).toEqual(['there', 'there']);
    expect(looks).toContain('EMFILE');
    expect(looks).not.toContain('gone');
  } finally {
    guest.kill('SIGKILL');
    rmSync(folder, { recursive: true });
  }
});

/** The supervisor and a guest change the same slots of the sockets file at once: the two sides of it, as they are. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { INCLUDE_SHIM } from '../../scripts/bundle-outputs';
import { IM_SOCKETS_FILE, IM_SOCKETS_SIZE } from '../../src/contract/abi/generated';
import { loadNative } from '../../src/native/addon/load';
import { openHandoffs } from '../../src/runtime/supervisor/peers/handoffs';
import { build, root, shimHeaders, start, testFolder, WARNINGS } from './harness';

const COOKIES = [1, 2, 3, 4];
const INCLUDED = [join(root, 'src/shim/core/sockets.c'), ...shimHeaders()];
const FLAGS = [...WARNINGS, ...INCLUDE_SHIM, '-O1', '-g', '-fsanitize=address,undefined'];
const ROUNDS = 2_000;

test('a connection is there for either side while its marks come and go, and no mark is lost', async () => {
  const program = await build('marked', [join(testFolder, 'sockets/marked.c')], INCLUDED, ['gcc', ...FLAGS]);
  const folder = mkdtempSync(join(tmpdir(), 'imaginary-marked-'));
  try {
    const memory = loadNative().mapFile(join(folder, IM_SOCKETS_FILE), IM_SOCKETS_SIZE);
    const guest = start([program, folder], process.env);
    await guest.line('ready');
    const handoffs = openHandoffs(memory);
    const cookies = () => handoffs.list().map(({ cookie }) => cookie);
    const seen = { missed: 0, marked: 0, ended: 0 };
    for (let round = 0; round < ROUNDS; round++) {
      seen.marked += handoffs.mark('probe', () => true);
      seen.ended += handoffs.mark('ended', ({ cookie }) => cookie === 2);
      if (cookies().length !== COOKIES.length) seen.missed += 1;
    }
    guest.process.stdin!.end();
    const { code, stdout } = await guest.ended;
    const [notNoted, cleared] = stdout.trim().split('\n').at(-1)!.split(' ').map(Number);
    const left = handoffs.list().filter(({ probing }) => probing).length;
    expect({ code, notNoted, ...seen }).toEqual({ code: 0, notNoted: 0, missed: 0, ended: 1, marked: cleared + left });
    expect(cookies().sort()).toEqual(COOKIES);
    expect(cleared).toBeGreaterThan(100);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
});

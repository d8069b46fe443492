/** The Unix socket of membership: its lines, when the seed is asked, and what slow or many guests cost. */
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { connect, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setImmediate } from 'node:timers/promises';
import type { MemberEntry } from '../../../../src/contract/control/membership';
import type { ToSeed } from '../../../../src/contract/control/to-seed';
import { Coordination } from '../../../../src/runtime/control/coordination';
import { createGuard } from '../../../../src/runtime/control/guard';
import { MEMBERSHIP_SOCKET, NODE_FOLDER } from '../../../../src/runtime/supervisor/files/node-files';
import { openMembershipSocket } from '../../../../src/runtime/supervisor/membership/socket';
import { MembershipStreams, MOST_BEHIND, MOST_STREAMS } from '../../../../src/runtime/supervisor/membership/streams';
import { eventually } from '../../../support/eventually';

const holds = (check: () => void | Promise<void>) =>
  eventually(async () => {
    try {
      await check();
      return true;
    } catch {
      return false;
    }
  });
const self = { name: 'a', address: '100.64.0.1', nodeId: 0, epoch: 5 };
const entry = (id: number, state: MemberEntry['state'] = 'joined', epoch = 5): MemberEntry => ({
  ...{ id, name: `host-${id}`, address: `100.64.0.${id}`, epoch, state },
});

let runDir: string;
let asked: ToSeed[];
let logged: string[];
let coordination: Coordination;
let streams: MembershipStreams;
const sockets: Socket[] = [];
beforeEach(() => {
  runDir = mkdtempSync(join(tmpdir(), 'imaginary-streams-'));
  asked = [];
  logged = [];
  const log = (_level: unknown, message: string) => void logged.push(message);
  coordination = new Coordination((frame) => asked.push(frame) > 0);
  streams = new MembershipStreams({ socket: openMembershipSocket(runDir), self, guard: createGuard(log), log });
  streams.use(coordination);
});
afterEach(() => {
  for (const socket of sockets.splice(0)) socket.destroy();
  streams.close();
  rmSync(runDir, { recursive: true });
});

async function open(): Promise<{ socket: Socket; lines: () => string[] }> {
  const socket = connect(join(runDir, NODE_FOLDER, MEMBERSHIP_SOCKET));
  sockets.push(socket);
  let text = '';
  socket.on('data', (data) => {
    text += data;
  });
  socket.on('error', () => undefined);
  await once(socket, 'connect');
  return { socket, lines: () => text.split('\n').slice(0, -1) };
}
const ops = () => asked.flatMap((frame) => (frame.type === 'membership' ? [frame.op] : []));
const follows = () =>
  asked.flatMap((frame) => (frame.type === 'membership' && frame.op === 'follow' ? [frame.id] : []));
/** The seed sends this to what was asked last. */
const send = (members: MemberEntry[], complete = true) =>
  coordination.onFrame({ type: 'members', id: follows().at(-1)!, members, complete });

test('the seed is asked while a guest is connected, and not otherwise', async () => {
  expect(asked).toEqual([]);
  const first = await open();
  await holds(() => expect(ops()).toEqual(['follow']));
  const second = await open();
  send([entry(1)]);
  await holds(() => expect([first, second].map(({ lines }) => lines().length)).toEqual([1, 1]));
  expect(JSON.parse(first.lines()[0])).toEqual({
    ...{ type: 'members', self: { id: 0, name: 'a', address: '100.64.0.1', epoch: 5 } },
    members: [{ id: 1, name: 'host-1', address: '100.64.0.1', epoch: 5, state: 'joined' }],
  });
  // One that comes later has the list at once.
  const third = await open();
  await holds(() => expect(third.lines()).toEqual(first.lines()));
  send([entry(1, 'suspended')]);
  const line = { type: 'suspended', id: 1, name: 'host-1', address: '100.64.0.1', epoch: 5 };
  await holds(() => expect(JSON.parse(third.lines()[1])).toEqual(line));
  for (const { socket } of [first, second, third]) socket.destroy();
  await holds(() => expect(ops()).toEqual(['follow', 'next', 'next', 'end']));
});

test('another session: what has changed meanwhile, and no second list', async () => {
  const { lines } = await open();
  await holds(() => expect(ops()).toEqual(['follow']));
  send([entry(1), entry(2)]);
  streams.use(undefined);
  coordination = new Coordination((frame) => asked.push(frame) > 0);
  asked = [];
  streams.use(coordination);
  send([entry(1)], false);
  send([entry(3)]);
  await holds(() =>
    expect(
      lines()
        .slice(1)
        .map((line) => JSON.parse(line)),
    ).toMatchObject([
      { type: 'left', id: 2 },
      { type: 'joined', id: 3 },
    ]),
  );
});

test('a guest that does not read loses its stream, and no other guest does', async () => {
  const [slow, other] = [await open(), await open()];
  slow.socket.pause();
  await holds(() => expect(ops()).toEqual(['follow']));
  send([]);
  await holds(() => expect(other.lines()).toHaveLength(1));
  const closed = once(slow.socket, 'close');
  let sent = 0;
  while (!logged.some((message) => message.includes('does not read'))) {
    expect(sent).toBeLessThan((20 * MOST_BEHIND) / 80);
    for (let i = 0; i < 250; i++) send([entry(1, 'joined', 10 + sent++)]);
    await holds(() => expect(other.lines().at(-1)).toContain(`"epoch":${9 + sent}`));
  }
  slow.socket.resume();
  await closed;
  expect(other.socket.destroyed).toBe(false);
}, 30_000);

test('what a guest writes is thrown away', async () => {
  const { socket, lines } = await open();
  socket.write(Buffer.alloc(1_000_000, 'x'));
  await holds(() => expect(ops()).toEqual(['follow']));
  send([]);
  await holds(() => expect(lines()).toHaveLength(1));
});

test('more streams than are allowed are refused with a line, and room is given back', async () => {
  const streamsOpen = await Promise.all(Array.from({ length: MOST_STREAMS }, open));
  await holds(() => expect(ops()).toEqual(['follow']));
  send([]);
  await holds(() => expect(streamsOpen.every(({ lines }) => lines().length === 1)).toBe(true));
  const refused = await open();
  await once(refused.socket, 'close');
  const reason = `${MOST_STREAMS} streams of membership are open on this host already`;
  expect(refused.lines()).toEqual([JSON.stringify({ type: 'refused', reason })]);
  streamsOpen[0].socket.destroy();
  await holds(async () => {
    const again = await open();
    await holds(() => expect(again.lines()).toHaveLength(1));
    expect(again.lines()[0]).toContain('"members"');
  });
});

test.each([
  ['too long for a socket', 'x'.repeat(100), 'the path of its socket is too long'],
  ['in use', '', 'EADDRINUSE'],
])('a path that is %s: no stream, and it is said', async (_, name, why) => {
  const socket = openMembershipSocket(join(runDir, name));
  // As when the host joins: the seed has answered meanwhile.
  await setImmediate();
  new MembershipStreams({
    ...{ socket, self },
    guard: createGuard(() => undefined),
    log: (_, m) => void logged.push(m),
  });
  expect(logged).toEqual([expect.stringContaining(why)]);
});

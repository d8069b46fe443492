/** The slots of the sockets file, as shims write them: test/shim/programs/marks.c is the other side. */
import * as abi from '../../../../src/contract/abi/generated';
import { openHandoffs } from '../../../../src/runtime/supervisor/peers/handoffs';

const SLOT = abi.im_socket_slot;

function fileOf(
  slots: ReadonlyArray<{
    at: number;
    cookie: bigint;
    peer: number;
    epoch: bigint;
    flags: number;
    seq?: number;
    ports?: number;
    error?: number;
  }>,
) {
  const memory = new ArrayBuffer(abi.IM_SOCKETS_SIZE);
  const view = new DataView(memory);
  for (const { at, cookie, peer, epoch, flags, seq = 2, ports = 0, error = 0 } of slots) {
    const start = at * SLOT.SIZE;
    view.setUint32(start + SLOT.seq, seq, true);
    view.setUint32(start + SLOT.flags, flags, true);
    view.setBigUint64(start + SLOT.cookie, cookie, true);
    view.setUint32(start + SLOT.peer, peer, true);
    view.setUint32(start + SLOT.ports, ports, true);
    view.setUint32(start + SLOT.error, error, true);
    view.setBigUint64(start + SLOT.epoch, epoch, true);
  }
  const flagsAt = (at: number) => view.getUint32(at * SLOT.SIZE + SLOT.flags, true);
  const seqAt = (at: number) => view.getUint32(at * SLOT.SIZE + SLOT.seq, true);
  return { handoffs: openHandoffs(memory), flagsAt, seqAt };
}

const H = abi.IM_SOCKET_HANDOFF;
const LAST = Math.floor(abi.IM_TRAFFIC_OFFSET / SLOT.SIZE) - 1;
const EPOCH = 1_764_460_000_123n;

test('the first slot and the last one, with numbers beyond 32 bits; other sockets are none', () => {
  const { handoffs } = fileOf([
    { at: 0, cookie: 0x1_0000_0002n, peer: 0x6440_0102, epoch: EPOCH, flags: H, ports: 0x1f90_c001 },
    { at: 5, cookie: 9n, peer: 0x6440_0102, epoch: 0n, flags: 2 },
    { at: LAST, cookie: 7n, peer: 0xffff_ffff, epoch: 0n, flags: H | 2 | abi.IM_SOCKET_ENDED },
  ]);
  expect(handoffs.list()).toEqual([
    { cookie: 0x1_0000_0002, peer: 0x6440_0102, localPort: 0xc001, epoch: Number(EPOCH), ended: false, probing: false },
    { cookie: 7, peer: 0xffff_ffff, localPort: 0, epoch: 0, ended: true, probing: false },
  ]);
});

test('of a connection to a service, the host that was chosen; of one that failed, its address', () => {
  const chosen = 0x6440_0109;
  const { handoffs } = fileOf([
    { at: 1, cookie: 1n, peer: 0x6440_0103, epoch: 3n, flags: H, error: chosen },
    { at: 2, cookie: 2n, peer: 0x6440_0103, epoch: 3n, flags: H | abi.IM_SOCKET_ERROR, error: 111 },
  ]);
  expect(handoffs.list().map(({ peer }) => peer)).toEqual([chosen, 0x6440_0103]);
});

test.each([
  ['ended', abi.IM_SOCKET_ENDED],
  ['probe', abi.IM_SOCKET_PROBE],
] as const)('%s: what is chosen is marked, once, and nothing else of it changes', (mark, bit) => {
  const { handoffs, flagsAt, seqAt } = fileOf([
    { at: 1, cookie: 1n, peer: 5, epoch: 3n, flags: H | 2 | 0x300 },
    { at: 2, cookie: 2n, peer: 6, epoch: 3n, flags: H },
  ]);
  const which = ({ peer }: { peer: number }) => peer === 5;
  expect(handoffs.mark(mark, which)).toBe(1);
  expect(handoffs.mark(mark, which)).toBe(0);
  expect([flagsAt(1), flagsAt(2)]).toEqual([H | 2 | 0x300 | bit, H]);
  expect([seqAt(1) % 2, seqAt(2)]).toEqual([0, 2]);
});

test('a slot that is being written, or was left so, is neither read nor marked', () => {
  const { handoffs, flagsAt } = fileOf([{ at: 1, cookie: 1n, peer: 5, epoch: 3n, flags: H, seq: 3 }]);
  expect(handoffs.list()).toEqual([]);
  expect(handoffs.mark('ended', () => true)).toBe(0);
  expect(flagsAt(1)).toBe(H);
});

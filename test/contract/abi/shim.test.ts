import { IM_REPLY_MAGIC, IM_REQUEST_MAGIC } from '../../../src/contract/abi/generated';
import { BadRequestError, decodeRequest, encodeReply, OP, REQUEST } from '../../../src/contract/abi/shim';

function request(op: number, more = 0): Buffer {
  const message = Buffer.alloc(REQUEST.SIZE + more);
  message.writeUInt32LE(IM_REQUEST_MAGIC, 0);
  message.writeUInt16LE(1, 4);
  message.writeUInt16LE(op, 6);
  message.writeUInt32LE(4711, 8);
  return message;
}

test('connect, listen, stale and log requests', () => {
  const connect = request(OP.connect);
  connect.writeUInt32LE(1 | 4, 12);
  connect.writeBigUInt64LE(99n, 16);
  connect.writeUInt32LE(0x64400101, 24);
  connect.writeUInt16LE(6379, 28);
  connect.writeUInt16LE(4_000, 30);
  expect(decodeRequest(connect)).toEqual({
    op: 'connect',
    pid: 4711,
    nonBlocking: true,
    sourcePort: 4_000,
    cookie: 99n,
    address: 0x64400101,
    port: 6379,
    epoch: 0,
  });

  const listen = request(OP.listen);
  listen.writeUInt16LE(80, 28);
  listen.writeUInt16LE(40_001, 30);
  listen.writeUInt32LE(0x7f400101, 32);
  listen.writeUInt32LE(1, 36);
  expect(decodeRequest(listen)).toMatchObject({
    op: 'listen',
    port: 80,
    realPort: 40_001,
    real: 0x7f400101,
    scope: 'host',
  });

  const stale = request(OP.stale);
  stale.writeBigUInt64LE(1_790_000_000_123n, 40);
  expect(decodeRequest(stale)).toMatchObject({ op: 'stale', epoch: 1_790_000_000_123 });

  const log = request(OP.log, 6);
  log.write('hello\0', REQUEST.SIZE);
  expect(decodeRequest(log)).toEqual({ op: 'log', pid: 4711, text: 'hello' });
});

test('what is not a request is refused', () => {
  const bad = (change: (message: Buffer) => void) => {
    const message = request(OP.listen);
    change(message);
    return () => decodeRequest(message);
  };
  expect(() => decodeRequest(Buffer.alloc(10))).toThrow(BadRequestError);
  expect(bad((m) => m.writeUInt32LE(1, 0))).toThrow('no magic number');
  expect(bad((m) => m.writeUInt16LE(9, 4))).toThrow('version 9');
  expect(bad((m) => m.writeUInt16LE(77, 6))).toThrow('operation 77');
  expect(bad((m) => m.writeUInt32LE(8, 36))).toThrow('scope 8');
});

test('replies', () => {
  const ok = encodeReply({ status: 0, real: 0x7f400101, realPort: 40_001, epoch: 1_790_000_000_123 });
  expect(ok.readUInt32LE(0)).toBe(IM_REPLY_MAGIC);
  expect(ok.readInt32LE(4)).toBe(0);
  expect(ok.readUInt32LE(8)).toBe(0x7f400101);
  expect(ok.readUInt16LE(12)).toBe(40_001);
  expect(ok.readUInt16LE(14)).toBe(1);
  expect(ok.readBigUInt64LE(16)).toBe(1_790_000_000_123n);
  expect(encodeReply({ status: 111 }).readInt32LE(4)).toBe(111);
});

import {
  encodeBytes,
  encodeFrame,
  FrameError,
  frameDecoder,
  frameEncoder,
  HEARTBEAT,
  MAX_FRAME_BYTES,
} from '../../../src/contract/control/frame-codec';

const frames = [
  { type: 'a', text: 'ünï\u0000cödé 🚀' },
  { type: 'b', list: Array.from({ length: 500 }, (_, i) => i) },
  { type: 'c' },
];
const stream = Buffer.concat([...frames.map(encodeFrame), HEARTBEAT, encodeFrame({ type: 'last' })]);

/** What a decoder makes of chunks. */
function decode(chunks: Iterable<Buffer>, maxBytes?: number): unknown[] {
  const decoded: unknown[] = [];
  const push = frameDecoder((frame) => decoded.push(frame), maxBytes);
  for (const chunk of chunks) push(chunk);
  return decoded;
}

function* split(bytes: Buffer, size: () => number): Generator<Buffer> {
  for (let at = 0; at < bytes.length; ) {
    const end = Math.min(bytes.length, at + Math.max(1, size()));
    yield bytes.subarray(at, end);
    at = end;
  }
}

test('any split of the stream gives the same frames', () => {
  const expected = [...frames, { type: 'last' }];
  for (const size of [1, 2, 3, 4, 5, 7, 64, 1_000, stream.length]) {
    expect(decode(split(stream, () => size))).toEqual(expected);
  }
  for (let round = 0; round < 200; round++) {
    expect(decode(split(stream, () => Math.ceil(Math.random() * 40)))).toEqual(expected);
  }
});

test('every two-part split, through headers and characters', () => {
  const bytes = Buffer.concat([encodeFrame(frames[0]), encodeFrame(frames[2])]);
  for (let cut = 0; cut <= bytes.length; cut++) {
    expect(decode([bytes.subarray(0, cut), bytes.subarray(cut)])).toEqual([frames[0], frames[2]]);
  }
});

test('a large frame that comes in small pieces takes linear time', () => {
  const large = encodeFrame({ type: 'large', text: 'x'.repeat(4_000_000) } as never);
  const began = performance.now();
  expect(decode(split(large, () => 1_000))).toHaveLength(1);
  expect(performance.now() - began).toBeLessThan(2_000);
});

test.each<[string, Buffer, FrameError['code']]>([
  ['too long', Buffer.from([0xff, 0xff, 0xff, 0xff]), 'too-long'],
  ['one byte too long', Buffer.from(new Uint32Array([0]).buffer).fill(0), 'too-long'],
  ['not JSON', Buffer.concat([Buffer.from([0, 0, 0, 3]), Buffer.from('{"a')]), 'not-json'],
  ['a number', Buffer.concat([Buffer.from([0, 0, 0, 1]), Buffer.from('7')]), 'no-type'],
  ['null', Buffer.concat([Buffer.from([0, 0, 0, 4]), Buffer.from('null')]), 'no-type'],
  ['without a type', Buffer.concat([Buffer.from([0, 0, 0, 2]), Buffer.from('{}')]), 'no-type'],
  ['HTTP', Buffer.from('GET / HTTP/1.1\r\n\r\n'), 'too-long'],
])('bytes that are no frame: %s', (what, bytes, code) => {
  if (what === 'one byte too long') bytes.writeUInt32BE(MAX_FRAME_BYTES + 1);
  const error = (() => {
    try {
      return decode([bytes]);
    } catch (thrown) {
      return thrown;
    }
  })();
  expect(error).toBeInstanceOf(FrameError);
  expect((error as FrameError).code).toBe(code);
});

test('binary frames come between others, for those that take them', () => {
  const bytes = Buffer.concat([
    encodeBytes(Buffer.from('{"'), Buffer.from('}')),
    encodeFrame(frames[0]),
    encodeBytes(),
  ]);
  const decoded: unknown[] = [];
  const push = frameDecoder(
    (frame) => decoded.push(frame),
    undefined,
    (binary) => decoded.push(binary.toString()),
  );
  for (const chunk of split(bytes, () => 1)) push(chunk);
  expect(decoded).toEqual(['{"}', frames[0], '']);
  expect(() => decode([bytes])).toThrow(FrameError);
});

test('a frame with a shared part is the same frame', () => {
  const encode = frameEncoder('shared', [{ text: 'ünï' }]);
  const bytes = Buffer.concat(encode({ type: 'a', text: '}"' } as never));
  expect(decode([bytes])).toEqual([{ type: 'a', text: '}"', shared: [{ text: 'ünï' }] }]);
});

test('a frame that nobody would read is not sent', () => {
  const text = 'x'.repeat(MAX_FRAME_BYTES);
  expect(() => encodeFrame({ type: 'large', text } as never)).toThrow(/8388\d+ bytes; allowed: 8388608/);
});

/** What the supervisor and the seed read from others, mutated: an answer or an error of ours, never anything else. */

import { IM_REQUEST_MAGIC } from '../../../src/contract/abi/generated';
import { BadRequestError, decodeRequest, OP, REQUEST } from '../../../src/contract/abi/shim';
import {
  encodeFrame,
  FrameError,
  frameDecoder,
  HEARTBEAT,
  MAX_FRAME_BYTES,
} from '../../../src/contract/control/frame-codec';
import { parseIdentity } from '../../../src/contract/control/psk';
import { randomNumbers } from '../../support/random';

const ROUNDS = 20_000;

type Random = (limit: number) => number;

/** Values at the limits of what a field holds are more likely than others. */
function mutate(bytes: Buffer, random: Random): Buffer {
  let changed = Buffer.from(bytes);
  for (let change = random(4); change >= 0; change--) {
    const at = random(changed.length || 1);
    switch (random(6)) {
      case 0:
        changed = changed.subarray(0, at);
        break;
      case 1:
        changed = Buffer.concat([changed.subarray(0, at), Buffer.alloc(random(64), random(256)), changed.subarray(at)]);
        break;
      case 2:
        changed = Buffer.concat([changed, changed.subarray(at)]);
        break;
      default:
        if (at < changed.length) changed[at] = [0, 1, 0x7f, 0x80, 0xff, random(256)][random(6)];
    }
  }
  return changed;
}

function request(op: number, text = ''): Buffer {
  const bytes = Buffer.alloc(REQUEST.SIZE + text.length);
  bytes.writeUInt32LE(IM_REQUEST_MAGIC, REQUEST.magic);
  bytes.writeUInt16LE(1, REQUEST.version);
  bytes.writeUInt16LE(op, REQUEST.op);
  bytes.writeBigUInt64LE(0xffff_ffff_ffff_ffffn, REQUEST.epoch);
  bytes.write(text, REQUEST.SIZE, 'latin1');
  return bytes;
}

test('requests of shims', () => {
  const random = randomNumbers(1);
  const seeds = [
    ...Object.values(OP).map((op) => request(op)),
    request(OP.log, 'hello\0'),
    request(OP.datagram, '\xff\0'),
  ];
  const seen = new Map<string, number>();
  for (let round = 0; round < ROUNDS; round++) {
    let kind = 'refused';
    try {
      const decoded = decodeRequest(mutate(seeds[random(seeds.length)], random));
      kind = decoded.op;
      // What the supervisor counts on.
      if ('port' in decoded && (decoded.port < 0 || decoded.port > 65_535)) throw new Error(`port ${decoded.port}`);
      if ('address' in decoded && !Number.isInteger(decoded.address)) throw new Error(`address ${decoded.address}`);
      if ('epoch' in decoded && !Number.isInteger(decoded.epoch)) throw new Error(`epoch ${decoded.epoch}`);
      if (decoded.op === 'listen' && decoded.scope === undefined) throw new Error('no scope');
      if (decoded.op === 'log' && decoded.text.includes('\0')) throw new Error('a NUL in a line');
    } catch (error) {
      if (!(error instanceof BadRequestError)) throw error;
    }
    seen.set(kind, (seen.get(kind) ?? 0) + 1);
  }
  expect([...seen.keys()].sort()).toEqual(['accept', 'connect', 'datagram', 'listen', 'log', 'refused', 'stale']);
});

/** The decoder's frames of these bytes, split as the numbers say; the error's code at the end, if there is one. */
function decode(bytes: Buffer, split: Random): unknown[] {
  const frames: unknown[] = [];
  const push = frameDecoder((frame) => frames.push(frame), 4096);
  try {
    for (let at = 0; at < bytes.length; ) {
      const size = 1 + split(bytes.length);
      push(bytes.subarray(at, at + size));
      at += size;
    }
  } catch (error) {
    if (!(error instanceof FrameError)) throw error;
    frames.push(error.code);
  }
  return frames;
}

test('control frames: the same frames and the same error, however the bytes are split', () => {
  const random = randomNumbers(2);
  const frames = [{ type: 'hello', name: 'wéb', list: [1, 2, { a: null }] }, { type: 'x' }].map((frame) =>
    encodeFrame(frame),
  );
  const seeds = [frames[0], Buffer.concat([HEARTBEAT, frames[1], frames[0], HEARTBEAT, frames[1]])];
  const ends = new Set<unknown>();
  for (let round = 0; round < ROUNDS / 4; round++) {
    const bytes = mutate(seeds[random(2)], random);
    const whole = decode(bytes, () => bytes.length);
    expect(decode(bytes, random)).toEqual(whole);
    for (const frame of whole) {
      if (typeof frame === 'string') ends.add(frame);
      else expect(typeof (frame as { type: unknown }).type).toBe('string');
    }
  }
  expect([...ends].sort()).toEqual(['no-type', 'not-json', 'too-long']);
  // A length alone reserves nothing.
  expect(() => frameDecoder(() => undefined)(Buffer.from('ffffffff', 'hex'))).toThrow(String(MAX_FRAME_BYTES));
});

test('identities: those that are taken are written as they were read', () => {
  const random = randomNumbers(3);
  const seeds = ['client', 'operator', 'host/web-1/1790000000123'].map((text) => Buffer.from(text));
  let taken = 0;
  for (let round = 0; round < ROUNDS; round++) {
    const text = mutate(seeds[random(3)], random).toString('latin1');
    const identity = parseIdentity(text);
    if (!identity) continue;
    taken++;
    expect(identity.kind === 'host' ? `host/${identity.host}/${identity.epoch}` : identity.kind).toBe(text);
  }
  expect(taken).toBeGreaterThan(0);
});

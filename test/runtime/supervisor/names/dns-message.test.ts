/** Our reading and writing of DNS messages, against a library's. */
import { randomBytes } from 'node:crypto';
import * as dns from 'dns-packet';
import {
  answers,
  encodeName,
  RCODE,
  readQuery,
  renumbered,
  writeReply,
} from '../../../../src/runtime/supervisor/names/dns-message';

const edns: dns.OptAnswer = {
  type: 'OPT',
  name: '.',
  udpPayloadSize: 4096,
  flags: 0,
  options: [],
} as unknown as dns.OptAnswer;
const query = (name: string, more: Partial<dns.Packet> = {}) =>
  dns.encode({ type: 'query', id: 4711, flags: dns.RECURSION_DESIRED, questions: [{ type: 'A', name }], ...more });

test('a question', () => {
  const message = query('Api.Shop.');
  expect(readQuery(message)).toEqual({
    is: 'question',
    question: { name: 'api.shop', type: 1, internet: true, end: message.length },
  });
  const other = readQuery(query('x', { questions: [{ type: 'TXT', name: 'version.bind', class: 'CH' }] }));
  expect(other).toMatchObject({ question: { name: 'version.bind', type: 16, internet: false } });
  const root = readQuery(query('.', { questions: [{ type: 'NS', name: '.' }] }));
  expect(root).toMatchObject({ question: { name: '', type: 2 } });
});

test('what is no question is refused, or not answered at all', () => {
  const good = query('api.shop');
  const changed = (at: number, value: number) => {
    const message = Buffer.from(good);
    message[at] = value;
    return message;
  };
  const bad = (rcode: number) => ({ is: 'bad', rcode });
  expect(readQuery(good.subarray(0, 11))).toEqual({ is: 'none' });
  expect(readQuery(Buffer.alloc(0))).toEqual({ is: 'none' });
  expect(readQuery(changed(2, 0x81))).toEqual({ is: 'none' });
  expect(readQuery(changed(2, 0x21))).toEqual(bad(RCODE.notImplemented));
  expect(readQuery(changed(5, 0))).toEqual(bad(RCODE.formatError));
  expect(readQuery(changed(5, 2))).toEqual(bad(RCODE.formatError));
  for (let end = 12; end < good.length; end++) {
    expect(readQuery(good.subarray(0, end))).toEqual(bad(RCODE.formatError));
  }
  // A pointer to itself, and a label that is too long.
  expect(readQuery(changed(12, 0xc0))).toEqual(bad(RCODE.formatError));
  expect(readQuery(changed(12, 64))).toEqual(bad(RCODE.formatError));
  const endless = Buffer.concat([good.subarray(0, 12), Buffer.alloc(400, '\x01a'), Buffer.alloc(8)]);
  expect(readQuery(endless)).toEqual(bad(RCODE.formatError));
});

test('a dot within a label separates nothing', () => {
  const message = query('api-shop');
  message[message.indexOf('-')] = 0x2e;
  expect(readQuery(message)).toMatchObject({ question: { name: 'api\\.shop' } });
});

test('whatever comes, the answer is one to it', () => {
  for (let round = 0; round < 5_000; round++) {
    const message = query('api.shop', round % 2 ? { additionals: [edns] } : {});
    for (let i = 0; i < 1 + (round % 7); i++) {
      const [at, value] = randomBytes(2);
      message[at % message.length] = value;
    }
    const read = readQuery(message);
    if (read.is === 'none') continue;
    const reply = writeReply(
      message,
      read.is === 'bad' ? read.rcode : RCODE.noError,
      read.is === 'bad' ? undefined : [],
    );
    expect(reply.readUInt16BE(0)).toBe(message.readUInt16BE(0));
    expect(reply[2] & 0x80).toBe(0x80);
    expect(reply.length).toBeLessThanOrEqual(512);
    dns.decode(reply);
    if (read.is === 'question') expect(answers(reply, message)).toBe(true);
  }
});

describe('an answer', () => {
  const records = [{ type: 1, ttl: 60, data: Buffer.from([100, 64, 0, 3]) }];

  test('has the question, the records, and an OPT record where one was in the question', () => {
    const plain = dns.decode(writeReply(query('Api.Shop'), RCODE.noError, records));
    expect(plain).toMatchObject({
      id: 4711,
      type: 'response',
      rcode: 'NOERROR',
      flag_aa: true,
      flag_ra: true,
      flag_rd: true,
      flag_tc: false,
      questions: [{ name: 'Api.Shop', type: 'A', class: 'IN' }],
      answers: [{ name: 'Api.Shop', type: 'A', class: 'IN', ttl: 60, data: '100.64.0.3' }],
      additionals: [],
    });
    const extended = dns.decode(writeReply(query('api', { additionals: [edns] }), RCODE.noError, records));
    expect(extended).toMatchObject({ additionals: [{ type: 'OPT', udpPayloadSize: 1232, options: [] }] });
    expect(dns.decode(writeReply(query('api'), RCODE.noError, []))).toMatchObject({ rcode: 'NOERROR', answers: [] });
  });

  test('may be a name', () => {
    const reverse = [{ type: 12, ttl: 60, data: encodeName('api.shop') }];
    const reply = writeReply(query('3.0.64.100.in-addr.arpa', { questions: [{ type: 'PTR', name: 'x' }] }), 0, reverse);
    expect(dns.decode(reply).answers).toMatchObject([{ type: 'PTR', data: 'api.shop' }]);
  });

  test('or an error, with the question if there was one', () => {
    const failed = dns.decode(writeReply(query('a.example'), RCODE.serverFailure));
    expect(failed).toMatchObject({ rcode: 'SERVFAIL', flag_aa: false, questions: [{ name: 'a.example' }] });
    const message = query('a.example').subarray(0, 14);
    expect(dns.decode(writeReply(message, RCODE.formatError))).toMatchObject({ rcode: 'FORMERR', questions: [] });
  });
});

test('only an answer to the very question is one', () => {
  const asked = query('a.example');
  const reply = (more: dns.Packet) => dns.encode({ type: 'response', id: 4711, ...more });
  const questions: dns.Question[] = [{ type: 'A', name: 'a.example' }];
  expect(answers(reply({ questions }), asked)).toBe(true);
  expect(answers(reply({ questions: [{ type: 'A', name: 'A.EXAMPLE' }] }), asked)).toBe(true);
  expect(answers(renumbered(reply({ questions }), 4712), asked)).toBe(false);
  expect(answers(reply({ questions: [{ type: 'A', name: 'b.example' }] }), asked)).toBe(false);
  expect(answers(reply({ questions: [{ type: 'AAAA', name: 'a.example' }] }), asked)).toBe(false);
  expect(answers(asked, asked)).toBe(false);
  expect(answers(asked.subarray(0, 5), asked)).toBe(false);
  expect(answers(reply({}), asked)).toBe(false);
  expect(answers(reply({ flags: RCODE.formatError }), asked)).toBe(true);
});

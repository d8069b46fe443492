/**
 * As much of a DNS message (RFC 1035, RFC 6891) as a forwarder has to know: header, question, answers of a few bytes.
 */

export const TYPE = { A: 1, PTR: 12, AAAA: 28, ANY: 255 } as const;
export const RCODE = {
  noError: 0,
  formatError: 1,
  serverFailure: 2,
  nameError: 3,
  notImplemented: 4,
  refused: 5,
} as const;
const CLASS_IN = 1;
const CLASS_ANY = 255;
const HEADER_SIZE = 12;
const LONGEST_NAME = 255;
const LONGEST_LABEL = 63;
/** The question's own name, as an answer names it: by its offset. */
const QUESTION_NAME = 0xc000 + HEADER_SIZE;
/** An OPT record: no name, type 41, 1,232 bytes of UDP, version 0, no options. */
const OPT = Buffer.from([0, 0, 41, 0x04, 0xd0, 0, 0, 0, 0, 0, 0]);

export interface Question {
  /** Lower case, without the last dot. */
  readonly name: string;
  readonly type: number;
  /** Of the internet, and not of one of the classes that nobody uses. */
  readonly internet: boolean;
  /** Where it ends in the message. */
  readonly end: number;
}

export type Query =
  | { readonly is: 'question'; readonly question: Question }
  /** To be answered with that code. */
  | { readonly is: 'bad'; readonly rcode: number }
  /** Not to be answered at all: a server that answers answers can be made to answer itself. */
  | { readonly is: 'none' };

export function readQuery(message: Buffer): Query {
  if (message.length < HEADER_SIZE || isReply(message)) return { is: 'none' };
  if ((message[2] >> 3) & 15) return { is: 'bad', rcode: RCODE.notImplemented };
  const question = message.readUInt16BE(4) === 1 ? readQuestion(message) : undefined;
  return question ? { is: 'question', question } : { is: 'bad', rcode: RCODE.formatError };
}

export function readQuestion(message: Buffer): Question | undefined {
  const labels: string[] = [];
  let at = HEADER_SIZE;
  for (let length = message[at++]; length !== 0; length = message[at++]) {
    // Behind the end, or a pointer, to which there is nothing before a question.
    if (length === undefined || length > LONGEST_LABEL || at + length - HEADER_SIZE >= LONGEST_NAME) return undefined;
    labels.push(
      message
        .toString('latin1', at, at + length)
        .replaceAll('.', '\\.')
        .toLowerCase(),
    );
    at += length;
  }
  if (at + 4 > message.length) return undefined;
  const [type, kind] = [message.readUInt16BE(at), message.readUInt16BE(at + 2)];
  return { name: labels.join('.'), type, internet: kind === CLASS_IN || kind === CLASS_ANY, end: at + 4 };
}

export function isReply(message: Buffer): boolean {
  return (message[2] & 0x80) !== 0;
}

export function rcodeOf(message: Buffer): number {
  return message[3] & 15;
}

/** Whether `reply` is one to `query`: by its number and its question. */
export function answers(reply: Buffer, query: Buffer): boolean {
  if (reply.length < HEADER_SIZE || !isReply(reply) || reply.readUInt16BE(0) !== query.readUInt16BE(0)) return false;
  // Servers that did not understand a question need not repeat it.
  if (reply.readUInt16BE(4) === 0) return rcodeOf(reply) !== RCODE.noError;
  const [asked, repeated] = [readQuestion(query), readQuestion(reply)];
  return asked?.name === repeated?.name && asked?.type === repeated?.type && asked?.end === repeated?.end;
}

/** The same message under another number. */
export function renumbered(message: Buffer, id: number): Buffer {
  const copy = Buffer.from(message);
  copy.writeUInt16BE(id, 0);
  return copy;
}

export interface DnsRecord {
  readonly type: number;
  readonly ttl: number;
  readonly data: Buffer;
}

/**
 * An answer about the question's own name, of ours (`records`; none: it has nothing of that type, or does not exist) or
 * of nobody's.
 */
export function writeReply(query: Buffer, rcode: number, records?: readonly DnsRecord[]): Buffer {
  const question = query.readUInt16BE(4) === 1 ? readQuestion(query) : undefined;
  const edns = question !== undefined && hasOpt(query, question.end);
  const header = Buffer.alloc(HEADER_SIZE);
  query.copy(header, 0, 0, 2);
  header[2] = 0x80 | (query[2] & 0x79) | (records ? 0x04 : 0);
  header[3] = 0x80 | rcode;
  header.writeUInt16BE(question ? 1 : 0, 4);
  header.writeUInt16BE(records?.length ?? 0, 6);
  header.writeUInt16BE(edns ? 1 : 0, 10);
  const parts = [header, query.subarray(HEADER_SIZE, question?.end ?? HEADER_SIZE)];
  for (const { type, ttl, data } of records ?? []) {
    const head = Buffer.alloc(12);
    head.writeUInt16BE(QUESTION_NAME, 0);
    head.writeUInt16BE(type, 2);
    head.writeUInt16BE(CLASS_IN, 4);
    head.writeUInt32BE(ttl, 6);
    head.writeUInt16BE(data.length, 10);
    parts.push(head, data);
  }
  if (edns) parts.push(OPT);
  return Buffer.concat(parts);
}

/**
 * A question with an OPT record is answered with one. The record is where everybody puts it: alone behind the question.
 */
function hasOpt(query: Buffer, at: number): boolean {
  const alone = query.readUInt16BE(6) === 0 && query.readUInt16BE(8) === 0 && query.readUInt16BE(10) > 0;
  return alone && query.length >= at + OPT.length && query[at] === 0 && query.readUInt16BE(at + 1) === 41;
}

/** A name as it stands in a message. */
export function encodeName(name: string): Buffer {
  const labels = name.split('.').map((label) => Buffer.from(`${String.fromCharCode(label.length)}${label}`, 'latin1'));
  return Buffer.concat([...labels, Buffer.alloc(1)]);
}

/** Attribute values: strings, and whole numbers of up to 38 digits. */
import { invalid, notServed, Refusal } from './dynamodb-errors';

export type Value = { readonly S: string } | { readonly N: string };
export type Item = Readonly<Record<string, Value>>;

const OTHER_TYPES = new Set(['B', 'SS', 'NS', 'BS', 'M', 'L', 'NULL', 'BOOL']);

/** @throws Refusal */
export function parseItem(what: string, given: unknown): Item {
  if (!isObject(given)) throw new Refusal(invalid(`${what} is no map of attributes`));
  return Object.fromEntries(Object.entries(given).map(([name, value]) => [name, parseValue(value)]));
}

function parseValue(given: unknown): Value {
  const entries = isObject(given) ? Object.entries(given) : [];
  if (entries.length !== 1) {
    throw new Refusal(invalid('Supplied AttributeValue is empty, must contain exactly one of the supported datatypes'));
  }
  const [[type, value]] = entries;
  if (OTHER_TYPES.has(type)) throw new Refusal(notServed(`attributes of type ${type}, only S and N`));
  if (type === 'S' && typeof value === 'string') return { S: value };
  if (type === 'N' && typeof value === 'string') return { N: parseNumber(value) };
  throw new Refusal(invalid('Supplied AttributeValue is empty, must contain exactly one of the supported datatypes'));
}

/** In the form that DynamoDB answers with. */
function parseNumber(text: string): string {
  if (/^-?\d+$/.test(text)) {
    const plain = BigInt(text).toString();
    if (plain.replace('-', '').length <= 38) return plain;
    throw new Refusal(invalid('Attempting to store more than 38 significant digits in a Number'));
  }
  if (text.trim() !== '' && Number.isFinite(Number(text))) {
    throw new Refusal(notServed(`the number ${text}, only whole numbers in plain digits`));
  }
  throw new Refusal(invalid(`The parameter cannot be converted to a numeric value: ${text}`));
}

export const typeOf = (value: Value): 'S' | 'N' => ('S' in value ? 'S' : 'N');

/** Negative, 0 or positive; undefined: values of two types have no order, and are not equal. */
export function compare(a: Value, b: Value): number | undefined {
  if ('N' in a && 'N' in b) {
    const difference = BigInt(a.N) - BigInt(b.N);
    return difference < 0n ? -1 : difference > 0n ? 1 : 0;
  }
  // By the bytes of UTF-8, as DynamoDB does.
  if ('S' in a && 'S' in b) return Buffer.compare(Buffer.from(a.S), Buffer.from(b.S));
  return undefined;
}

export function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

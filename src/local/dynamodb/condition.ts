/**
 * Condition expressions: comparisons (`#name = :value`, also `<`, `<=`, `>`, `>=`), `attribute_exists(#name)` and
 * `attribute_not_exists(#name)`, joined by AND. Whatever else DynamoDB knows is refused by its name.
 */
import { invalid, notServed, Refusal } from './dynamodb-errors';
import { compare, type Item, isObject, parseItem, type Value } from './values';

export type Condition = (item: Item | undefined) => boolean;

interface Given {
  readonly ConditionExpression?: unknown;
  readonly ExpressionAttributeNames?: unknown;
  readonly ExpressionAttributeValues?: unknown;
}

const TOKEN = /\s*([#:]?[A-Za-z0-9_]+|<=|>=|<>|[()=<>,.[\]+-])/y;
const COMPARISONS: Readonly<Record<string, (order: number) => boolean>> = {
  '=': (order) => order === 0,
  '<': (order) => order < 0,
  '<=': (order) => order <= 0,
  '>': (order) => order > 0,
  '>=': (order) => order >= 0,
};
const LONGEST = 4_096;

const wrong = (why: string) => new Refusal(invalid(`Invalid ConditionExpression: ${why}`));

/** @throws Refusal where it is wrong, or holds what is not served */
export function parseCondition(given: Given): Condition {
  const { ConditionExpression: text } = given;
  if (text === undefined) {
    for (const name of ['ExpressionAttributeNames', 'ExpressionAttributeValues'] as const) {
      if (given[name] !== undefined) throw new Refusal(invalid(`${name} can only be specified when using expressions`));
    }
    return () => true;
  }
  if (typeof text !== 'string' || text.trim() === '') throw wrong('The expression can not be empty;');
  if (Buffer.byteLength(text) > LONGEST) {
    throw wrong(`Expression size has exceeded the maximum allowed size; expression size: ${Buffer.byteLength(text)}`);
  }
  const parser = new Parser(text, namesOf(given.ExpressionAttributeNames), valuesOf(given.ExpressionAttributeValues));
  return parser.parse();
}

function namesOf(given: unknown): ReadonlyMap<string, string> {
  if (given === undefined) return new Map();
  if (!isObject(given)) throw new Refusal(invalid('ExpressionAttributeNames is no map of names'));
  const entries = Object.entries(given);
  if (entries.length === 0) throw new Refusal(invalid('ExpressionAttributeNames must not be empty'));
  for (const [key, name] of entries) {
    if (!/^#[A-Za-z0-9_]+$/.test(key) || typeof name !== 'string') {
      throw new Refusal(invalid(`ExpressionAttributeNames contains invalid key: Syntax error; key: "${key}"`));
    }
  }
  return new Map(entries as Array<[string, string]>);
}

function valuesOf(given: unknown): ReadonlyMap<string, Value> {
  if (given === undefined) return new Map();
  const values = new Map(Object.entries(parseItem('ExpressionAttributeValues', given)));
  if (values.size === 0) throw new Refusal(invalid('ExpressionAttributeValues must not be empty'));
  for (const key of values.keys()) {
    if (!/^:[A-Za-z0-9_]+$/.test(key)) {
      throw new Refusal(invalid(`ExpressionAttributeValues contains invalid key: Syntax error; key: "${key}"`));
    }
  }
  return values;
}

type Operand = (item: Item | undefined) => Value | undefined;

class Parser {
  readonly #tokens: readonly string[];
  readonly #names: ReadonlyMap<string, string>;
  readonly #values: ReadonlyMap<string, Value>;
  readonly #used = new Set<string>();
  #at = 0;

  constructor(text: string, names: ReadonlyMap<string, string>, values: ReadonlyMap<string, Value>) {
    this.#tokens = tokensOf(text);
    this.#names = names;
    this.#values = values;
  }

  parse(): Condition {
    const conditions = [this.#condition()];
    while (this.#at < this.#tokens.length) {
      const word = this.#next();
      if (/^(or|between|in)$/i.test(word))
        throw new Refusal(notServed(`${word.toUpperCase()} in conditions, only AND`));
      if (!/^and$/i.test(word)) throw this.#syntax(word);
      conditions.push(this.#condition());
    }
    this.#checkUse();
    return (item) => conditions.every((condition) => condition(item));
  }

  #condition(): Condition {
    const word = this.#next();
    if (/^not$/i.test(word) || word === '(') throw new Refusal(notServed(`'${word}' in conditions`));
    if (word === 'attribute_exists' || word === 'attribute_not_exists') {
      const operand = this.#inBrackets();
      return (item) => (operand(item) !== undefined) === (word === 'attribute_exists');
    }
    if (this.#tokens[this.#at] === '(') throw new Refusal(notServed(`the function ${word} in conditions`));
    const left = this.#operand(word);
    const sign = this.#next();
    if (sign === '<>') throw new Refusal(notServed(`'<>' in conditions`));
    const holds = COMPARISONS[sign];
    if (!holds) throw this.#syntax(sign);
    const right = this.#operand(this.#next());
    return (item) => {
      const [a, b] = [left(item), right(item)];
      const order = a && b && compare(a, b);
      return order !== undefined && holds(order);
    };
  }

  #inBrackets(): Operand {
    const open = this.#next();
    if (open !== '(') throw this.#syntax(open);
    const word = this.#next();
    if (word.startsWith(':'))
      throw wrong(`Operator or function requires a document path; operator or function: ${word}`);
    const operand = this.#operand(word);
    const close = this.#next();
    if (close !== ')') throw this.#syntax(close);
    return operand;
  }

  #operand(word: string): Operand {
    if (word.startsWith('#')) {
      const name = this.#names.get(word);
      if (name === undefined) {
        throw wrong(`An expression attribute name used in the document path is not defined; attribute name: ${word}`);
      }
      this.#used.add(word);
      return (item) => (item && Object.hasOwn(item, name) ? item[name] : undefined);
    }
    if (word.startsWith(':')) {
      const value = this.#values.get(word);
      if (value === undefined) {
        throw wrong(`An expression attribute value used in expression is not defined; attribute value: ${word}`);
      }
      this.#used.add(word);
      return () => value;
    }
    if (!/^[A-Za-z]/.test(word)) throw this.#syntax(word);
    // DynamoDB reserves some 570 words, which a name may be.
    throw new Refusal(
      notServed(`the name ${word} in conditions, only names like #${word} of ExpressionAttributeNames`),
    );
  }

  #next(): string {
    const token = this.#tokens[this.#at];
    if (token === undefined) throw this.#syntax('<EOF>');
    this.#at += 1;
    return token;
  }

  #syntax(token: string): Refusal {
    const near = this.#tokens.slice(Math.max(0, this.#at - 2), this.#at + 1).join(' ');
    return wrong(`Syntax error; token: "${token}", near: "${near}"`);
  }

  #checkUse(): void {
    const unused = (keys: Iterable<string>) => [...keys].filter((key) => !this.#used.has(key));
    const check = (what: string, keys: readonly string[]) => {
      if (keys.length === 0) return;
      throw new Refusal(invalid(`Value provided in ${what} unused in expressions: keys: {${keys.join(', ')}}`));
    };
    check('ExpressionAttributeNames', unused(this.#names.keys()));
    check('ExpressionAttributeValues', unused(this.#values.keys()));
  }
}

function tokensOf(text: string): string[] {
  const tokens: string[] = [];
  TOKEN.lastIndex = 0;
  const end = text.trimEnd().length;
  while (TOKEN.lastIndex < end) {
    const at = TOKEN.lastIndex;
    const match = TOKEN.exec(text);
    if (!match) {
      const token = text.slice(at).trimStart()[0];
      throw wrong(`Syntax error; token: "${token}", near: "${text.slice(at, at + 8).trim()}"`);
    }
    if (/^[.[\]+-]$/.test(match[1])) throw new Refusal(notServed(`'${match[1]}' in conditions`));
    tokens.push(match[1]);
  }
  return tokens;
}

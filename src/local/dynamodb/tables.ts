/** Tables in memory: GetItem and PutItem, one after the other, so that a condition and its write are one step. */
import { parseCondition } from './condition';
import { conditionFailed, invalid, noTable, notServed, Refusal } from './dynamodb-errors';
import { type Item, isObject, parseItem, typeOf } from './values';

/** A table whose key is one string attribute. */
export interface TableOptions {
  readonly name: string;
  readonly key: string;
}

export type Operation = (input: Readonly<Record<string, unknown>>) => object;

interface Table extends TableOptions {
  readonly items: Map<string, Item>;
}

/** More than a platform needs. */
const MOST_ITEMS = 1_000;
const LARGEST_ITEM = 400 * 1024;

export function openTables(options: readonly TableOptions[]): Readonly<Record<'GetItem' | 'PutItem', Operation>> {
  const tables = new Map<string, Table>(options.map((table) => [table.name, { ...table, items: new Map() }]));
  const tableOf = ({ TableName: name }: Readonly<Record<string, unknown>>): Table => {
    if (typeof name !== 'string' || name === '') {
      throw new Refusal(invalid("The parameter 'TableName' is required but was not present in the request"));
    }
    const table = tables.get(name.replace(/^arn:[\w-]+:dynamodb:[\w-]+:\d{12}:table\//, ''));
    if (!table) throw new Refusal(noTable());
    return table;
  };

  return {
    GetItem: (input) => {
      refuseOthers('GetItem', input, ['TableName', 'Key', 'ConsistentRead']);
      const table = tableOf(input);
      const key = parseItem('Key', input.Key);
      if (Object.keys(key).length !== 1 || !('S' in (key[table.key] ?? {}))) {
        throw new Refusal(invalid('The provided key element does not match the schema'));
      }
      // Every read is a consistent one.
      const found = table.items.get(keyOf(table, key));
      return found ? { Item: found } : {};
    },
    PutItem: (input) => {
      refuseOthers('PutItem', input, [
        ...['TableName', 'Item', 'ConditionExpression', 'ExpressionAttributeNames', 'ExpressionAttributeValues'],
      ]);
      const table = tableOf(input);
      const item = parseItem('Item', input.Item);
      const key = keyOf(table, item);
      const condition = parseCondition(input);
      if (Buffer.byteLength(JSON.stringify(item)) > LARGEST_ITEM) {
        throw new Refusal(invalid('Item size has exceeded the maximum allowed size'));
      }
      if (!condition(table.items.get(key))) throw new Refusal(conditionFailed());
      if (!table.items.has(key) && table.items.size >= MOST_ITEMS) {
        throw new Refusal(notServed(`more than ${MOST_ITEMS} items of a table`));
      }
      table.items.set(key, item);
      return {};
    },
  };
}

function keyOf({ key }: TableOptions, item: Item): string {
  const value = item[key];
  const wrong = 'One or more parameter values were invalid';
  if (value === undefined) throw new Refusal(invalid(`${wrong}: Missing the key ${key} in the item`));
  if (!('S' in value)) {
    throw new Refusal(invalid(`${wrong}: Type mismatch for key ${key} expected: S actual: ${typeOf(value)}`));
  }
  if (value.S === '') {
    const why = 'The AttributeValue for a key attribute cannot contain an empty string value';
    throw new Refusal(invalid(`One or more parameter values are not valid. ${why}. Key: ${key}`));
  }
  return value.S;
}

/** A parameter that has no effect here would be believed to have one. */
function refuseOthers(operation: string, input: Readonly<Record<string, unknown>>, served: readonly string[]): void {
  const other = Object.keys(input).find((name) => !served.includes(name));
  if (other !== undefined) throw new Refusal(notServed(`the parameter ${other} of ${operation}`));
}

/** @throws Refusal */
export function parseInput(value: unknown): Readonly<Record<string, unknown>> {
  if (!isObject(value)) throw new Refusal(invalid('the request is no object'));
  return value;
}

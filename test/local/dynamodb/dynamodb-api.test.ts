/** The table of a lease, through the real SDK: items, conditions, and everything that is refused, in DynamoDB's words. */
import {
  type AttributeValue,
  ConditionalCheckFailedException,
  DeleteItemCommand,
  DynamoDBClient,
  GetItemCommand,
  PutItemCommand,
  type PutItemCommandInput,
  QueryCommand,
  ResourceNotFoundException,
} from '@aws-sdk/client-dynamodb';
import type { ApiServer } from '../../../src/local/api/api-server';
import { startDynamodbApi } from '../../../src/local/dynamodb/dynamodb-api';

const credentials = { region: 'us-east-1', accessKeyId: 'LOCAL1', secretAccessKey: 'secret' };
type Item = Record<string, AttributeValue>;

let api: ApiServer;
let client: DynamoDBClient;
beforeEach(async () => {
  api = await startDynamodbApi({ tables: [{ name: 'leases', key: 'cluster' }], credentials });
  client = clientWith({});
});
afterEach(async () => {
  client.destroy();
  await api.close();
});

function clientWith(other: Partial<typeof credentials>): DynamoDBClient {
  const { region, ...keys } = { ...credentials, ...other };
  return new DynamoDBClient({ endpoint: api.url, region, credentials: keys, maxAttempts: 1 });
}

const put = (item: Item, more: Partial<PutItemCommandInput> = {}) =>
  client.send(new PutItemCommand({ TableName: 'leases', Item: item, ...more }));
const get = async (key: Item = { cluster: { S: 'shop' } }, name = 'leases') =>
  (await client.send(new GetItemCommand({ TableName: name, Key: key, ConsistentRead: true }))).Item;
/** The error's name and text. */
const refusal = (request: Promise<unknown>) =>
  request.then(
    () => 'it was not refused',
    (error: Error) => `${error.name}: ${error.message}`,
  );

const shop = { cluster: { S: 'shop' }, number: { N: '7' }, holder: { S: 'a' } };

test('an item is what was put last; others are not touched', async () => {
  expect(await get()).toBeUndefined();
  await put(shop);
  await put({ cluster: { S: 'other' }, number: { N: '1' } });
  expect(await get()).toEqual(shop);
  await put({ cluster: { S: 'shop' } });
  expect(await get()).toEqual({ cluster: { S: 'shop' } });
  expect(await get({ cluster: { S: 'other' } })).toEqual({ cluster: { S: 'other' }, number: { N: '1' } });
});

test('a table may be named by its ARN', async () => {
  await put(shop, { TableName: 'arn:aws:dynamodb:us-east-1:123456789012:table/leases' });
  expect(await get()).toEqual(shop);
});

test.each([
  ['007', '7'],
  ['-0', '0'],
  ['-12', '-12'],
  ['9'.repeat(38), '9'.repeat(38)],
])('the number %s is %s', async (given, kept) => {
  await put({ ...shop, number: { N: given } });
  expect((await get())?.number).toEqual({ N: kept });
});

/** Against `shop`: the condition, its values, whether it holds. */
const CONDITIONS: ReadonlyArray<readonly [string, Item, boolean]> = [
  ['#number = :v', { ':v': { N: '7' } }, true],
  ['#number = :v', { ':v': { N: '07' } }, true],
  ['#number = :v', { ':v': { N: '8' } }, false],
  ['#number = :v', { ':v': { S: '7' } }, false],
  ['#number < :v', { ':v': { N: '8' } }, true],
  ['#number < :v', { ':v': { N: '7' } }, false],
  // Not as strings: '10' is before '7'.
  ['#number < :v', { ':v': { N: '10' } }, true],
  ['#number < :v', { ':v': { N: '100000000000000000000' } }, true],
  ['#number < :v', { ':v': { S: 'x' } }, false],
  ['#number <= :v', { ':v': { N: '7' } }, true],
  ['#number <= :v', { ':v': { N: '6' } }, false],
  ['#number > :v', { ':v': { N: '-8' } }, true],
  ['#number > :v', { ':v': { N: '7' } }, false],
  ['#number >= :v', { ':v': { N: '7' } }, true],
  ['#number >= :v', { ':v': { N: '8' } }, false],
  [':v < #number', { ':v': { N: '6' } }, true],
  ['#holder = :v', { ':v': { S: 'a' } }, true],
  ['#holder < :v', { ':v': { S: 'b' } }, true],
  ['#holder < :v', { ':v': { S: 'B' } }, false],
  ['#none = :v', { ':v': { S: 'a' } }, false],
  ['#none < :v', { ':v': { N: '1' } }, false],
  ['attribute_exists(#holder)', {}, true],
  ['attribute_exists( #none )', {}, false],
  ['attribute_not_exists(#holder)', {}, false],
  ['attribute_not_exists(#none)', {}, true],
  ['#number = :v AND #holder = :w', { ':v': { N: '7' }, ':w': { S: 'a' } }, true],
  ['#number = :v and #holder = :w', { ':v': { N: '7' }, ':w': { S: 'b' } }, false],
  ['#number = :v AND #holder = :w AND attribute_exists(#none)', { ':v': { N: '7' }, ':w': { S: 'a' } }, false],
  ['#number=:v AND#holder=:w', { ':v': { N: '7' }, ':w': { S: 'a' } }, true],
];
const conditional = (expression: string, values: Item) => ({
  ConditionExpression: expression,
  ExpressionAttributeNames: Object.fromEntries(
    [...new Set(expression.match(/#\w+/g))].map((name) => [name, name.slice(1)]),
  ),
  ...(Object.keys(values).length > 0 ? { ExpressionAttributeValues: values } : {}),
});

test.each(CONDITIONS)('%s with %j: %s', async (expression, values, holds) => {
  await put(shop);
  const written = put({ cluster: { S: 'shop' } }, conditional(expression, values));
  if (holds) {
    await written;
    expect(await get()).toEqual({ cluster: { S: 'shop' } });
  } else {
    await expect(written).rejects.toThrow(ConditionalCheckFailedException);
    await expect(written).rejects.toMatchObject({
      message: 'The conditional request failed',
      $metadata: { httpStatusCode: 400 },
    });
    expect(await get()).toEqual(shop);
  }
});

test.each(CONDITIONS)('%s with %j where there is no item', async (expression, values) => {
  const written = refusal(put(shop, conditional(expression, values)));
  const holds = /^attribute_not_exists\(#\w+\)$/.test(expression);
  expect(await written).toBe(
    holds ? 'it was not refused' : 'ConditionalCheckFailedException: The conditional request failed',
  );
});

test('of writers at the same moment one wins', async () => {
  const writers = Array.from({ length: 50 }, (_, i) =>
    refusal(put({ ...shop, holder: { S: String(i) } }, conditional('attribute_not_exists(#cluster)', {}))),
  );
  const outcomes = await Promise.all(writers);
  const won = outcomes.flatMap((outcome, i) => (outcome === 'it was not refused' ? [i] : []));
  expect(won).toHaveLength(1);
  expect((await get())?.holder).toEqual({ S: String(won[0]) });
});

const names = { '#a': 'a' };
const values = { ':a': { S: 'a' } };
const LOCAL = /^ValidationException: the local platform does not serve /;
/** Parameters of PutItem that cannot work, or are not served. */
const REFUSED: ReadonlyArray<readonly [string, Partial<PutItemCommandInput>, string | RegExp]> = [
  ['an empty condition', { ConditionExpression: ' ' }, /The expression can not be empty/],
  [
    'a name that is not given',
    { ConditionExpression: '#a = :a', ExpressionAttributeValues: values },
    'ValidationException: Invalid ConditionExpression: An expression attribute name used in the document path is not defined; attribute name: #a',
  ],
  [
    'a value that is not given',
    { ConditionExpression: '#a = :a', ExpressionAttributeNames: names },
    'ValidationException: Invalid ConditionExpression: An expression attribute value used in expression is not defined; attribute value: :a',
  ],
  [
    'a name too many',
    {
      ConditionExpression: '#a = :a',
      ExpressionAttributeNames: { ...names, '#b': 'b' },
      ExpressionAttributeValues: values,
    },
    'ValidationException: Value provided in ExpressionAttributeNames unused in expressions: keys: {#b}',
  ],
  [
    'a value too many',
    {
      ConditionExpression: '#a = :a',
      ExpressionAttributeNames: names,
      ExpressionAttributeValues: { ...values, ':b': { S: 'b' } },
    },
    'ValidationException: Value provided in ExpressionAttributeValues unused in expressions: keys: {:b}',
  ],
  [
    'names without a condition',
    { ExpressionAttributeNames: names },
    'ValidationException: ExpressionAttributeNames can only be specified when using expressions',
  ],
  [
    'values without a condition',
    { ExpressionAttributeValues: values },
    'ValidationException: ExpressionAttributeValues can only be specified when using expressions',
  ],
  ...[
    '#a =',
    '#a = :a AND',
    '#a :a',
    '= :a',
    'attribute_exists(#a',
    'attribute_exists #a',
    '#a = :a :a',
    '#a ! :a',
  ].map(
    (ConditionExpression) =>
      [
        `the condition '${ConditionExpression}'`,
        { ConditionExpression, ExpressionAttributeNames: names, ExpressionAttributeValues: values },
        /^ValidationException: Invalid ConditionExpression: Syntax error; token: "/,
      ] as const,
  ),
  [
    'the existence of a value',
    { ConditionExpression: 'attribute_exists(:a)', ExpressionAttributeValues: values },
    /requires a document path/,
  ],
  ...[
    ...['#a = :a OR #a = :a', 'NOT #a = :a', '(#a = :a)', '#a <> :a', 'begins_with(#a, :a)', 'a = :a', '#a.b = :a'],
    ...['#a[0] = :a', '#a = :a BETWEEN :a', '#a = :a IN', 'size(#a) = :a'],
  ].map(
    (ConditionExpression) =>
      [
        `the condition '${ConditionExpression}'`,
        { ConditionExpression, ExpressionAttributeNames: names, ExpressionAttributeValues: values },
        LOCAL,
      ] as const,
  ),
  ['old values', { ReturnValues: 'ALL_OLD' }, LOCAL],
  ['the consumed capacity', { ReturnConsumedCapacity: 'TOTAL' }, LOCAL],
  ['a flag', { Item: { ...shop, flag: { BOOL: true } } }, LOCAL],
  ['a list', { Item: { ...shop, list: { L: [] } } }, LOCAL],
  ['half a number', { Item: { ...shop, number: { N: '0.5' } } }, LOCAL],
  [
    'no number',
    { Item: { ...shop, number: { N: 'x' } } },
    'ValidationException: The parameter cannot be converted to a numeric value: x',
  ],
  ['39 digits', { Item: { ...shop, number: { N: '1'.repeat(39) } } }, /more than 38 significant digits/],
  [
    'no key',
    { Item: { number: { N: '1' } } },
    'ValidationException: One or more parameter values were invalid: Missing the key cluster in the item',
  ],
  [
    'a number as key',
    { Item: { cluster: { N: '1' } } },
    'ValidationException: One or more parameter values were invalid: Type mismatch for key cluster expected: S actual: N',
  ],
  ['an empty key', { Item: { cluster: { S: '' } } }, /cannot contain an empty string value. Key: cluster/],
  ['a long item', { Item: { ...shop, long: { S: 'x'.repeat(400 * 1024) } } }, /exceeded the maximum allowed size/],
  ['a request without an end', { Item: { ...shop, long: { S: 'x'.repeat(1024 * 1024) } } }, /RequestEntityTooLarge/],
];

test.each(REFUSED)('%s is refused, and nothing is written', async (_what, input, expected) => {
  const text = await refusal(put(shop, input));
  if (typeof expected === 'string') expect(text).toBe(expected);
  else expect(text).toMatch(expected);
  expect(await get()).toBeUndefined();
});

test('another table is not there', async () => {
  const asked = put(shop, { TableName: 'others' });
  await expect(asked).rejects.toThrow(ResourceNotFoundException);
  expect(await refusal(get(undefined, 'others'))).toBe('ResourceNotFoundException: Requested resource not found');
});

test.each([
  ['of another name', { other: { S: 'shop' } }],
  ['of another type', { cluster: { N: '1' } }],
  ['with a field more', { cluster: { S: 'shop' }, more: { S: 'x' } }],
])('GetItem with a key %s', async (_what, key) => {
  expect(await refusal(get(key as unknown as Item))).toBe(
    'ValidationException: The provided key element does not match the schema',
  );
});

test('other operations and parameters are refused by their names', async () => {
  const operation = client.send(new DeleteItemCommand({ TableName: 'leases', Key: { cluster: { S: 'shop' } } }));
  expect(await refusal(operation)).toMatch(/^UnknownOperationException: .*'DeleteItem'$/);
  const query = new QueryCommand({ TableName: 'leases', KeyConditionExpression: 'x' });
  expect(await refusal(client.send(query))).toMatch(/^UnknownOperationException: .*'Query'$/);
  const projected = new GetItemCommand({
    ...{ TableName: 'leases', Key: { cluster: { S: 'shop' } }, ProjectionExpression: 'holder' },
  });
  expect(await refusal(client.send(projected))).toMatch(/the parameter ProjectionExpression of GetItem/);
});

test.each([
  ['another secret', { secretAccessKey: 'guess' }, 'InvalidSignatureException'],
  ['another key', { accessKeyId: 'OTHER' }, 'UnrecognizedClientException'],
  ['another region', { region: 'eu-west-1' }, 'InvalidSignatureException'],
])('signed with %s', async (_what, other, name) => {
  const stranger = clientWith(other);
  const text = await refusal(stranger.send(new PutItemCommand({ TableName: 'leases', Item: shop })));
  expect(text).toMatch(new RegExp(`^${name}: `));
  stranger.destroy();
  expect(await get()).toBeUndefined();
});

test('not signed at all', async () => {
  const answer = await fetch(api.url, { method: 'POST', body: '{}' });
  expect(answer.status).toBe(400);
  expect(await answer.json()).toMatchObject({
    __type: 'com.amazon.coral.service#MissingAuthenticationTokenException',
  });
});

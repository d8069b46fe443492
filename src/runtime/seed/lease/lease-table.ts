/** The lease as an item of a DynamoDB table: how it is read, and written under a condition. */
import { Agent } from 'node:http';
import { Agent as HttpsAgent } from 'node:https';

/** The lease as it stands. Times are milliseconds. */
export interface LeaseItem {
  /** The fencing number: one more with each holder. */
  readonly number: number;
  /** One more with each renewal by that holder. */
  readonly renewal: number;
  /** A process: no two have the same. */
  readonly holder: string;
  /** How long the lease lasts from the renewal on. 0: it was given back. */
  readonly duration: number;
  /** What the holder's clock for epochs showed when it wrote this. */
  readonly clock: number;
}

/** What has to be true of the item for a write to take place. */
export type Condition =
  /** There is none. */
  | { readonly is: 'absent' }
  /** Nobody has written it since it was read. */
  | { readonly is: 'unchanged'; readonly number: number; readonly renewal: number }
  /** This holder has it still, and no later renewal was written. */
  | { readonly is: 'held'; readonly number: number; readonly holder: string; readonly before: number };

/** Nothing is known: neither what stands there, nor whether a write took place. */
export interface Failure {
  readonly kind: 'throttled' | 'timeout' | 'broken' | 'denied';
  readonly message: string;
}

export type ReadOutcome = { readonly kind: 'item'; readonly item: LeaseItem | undefined } | Failure;
export type WriteOutcome =
  | { readonly kind: 'won' }
  /** The condition is not true. */
  | { readonly kind: 'lost' }
  | Failure;

/** Never rejects. `limit`: milliseconds that the request may take. */
export interface LeaseTable {
  read(limit: number): Promise<ReadOutcome>;
  write(item: LeaseItem, condition: Condition, limit: number): Promise<WriteOutcome>;
}

export interface LeaseTableOptions {
  readonly table: string;
  /** The item's key: the cluster's name. */
  readonly cluster: string;
  readonly region: string;
  /** Where the API is. Default: AWS. */
  readonly endpoint?: string;
}

/** The table's key. */
const KEY = 'cluster';
const THROTTLED = new Set(['ProvisionedThroughputExceededException', 'RequestLimitExceeded', 'ThrottlingException']);
/** Some of the attributes have names that expressions reserve. */
const NAMES = { '#number': 'number', '#renewal': 'renewal', '#holder': 'holder' };

/** The SDK's client. It is loaded with the first call of this function: a seed without a standby never needs it. */
export async function openLeaseTable(options: LeaseTableOptions): Promise<LeaseTable> {
  const { table, cluster, region, endpoint } = options;
  const { ConditionalCheckFailedException, DynamoDBClient, DynamoDBServiceException, GetItemCommand, PutItemCommand } =
    await import('@aws-sdk/client-dynamodb');
  const agent = { keepAlive: true, maxSockets: 8 };
  const client = new DynamoDBClient({
    region,
    endpoint,
    // A lease knows best what may be repeated, and until when.
    maxAttempts: 1,
    requestHandler: { httpAgent: new Agent(agent), httpsAgent: new HttpsAgent(agent) },
  });

  const failure = (error: unknown): Failure => {
    const { name, message } = error as Error;
    const text = `${name}: ${message}`;
    if (name === 'AbortError' || name === 'TimeoutError') return { kind: 'timeout', message: 'there was no answer' };
    if (THROTTLED.has(name)) return { kind: 'throttled', message: text };
    const status = error instanceof DynamoDBServiceException ? (error.$metadata.httpStatusCode ?? 0) : 0;
    return { kind: status >= 400 && status < 500 ? 'denied' : 'broken', message: text };
  };

  return {
    read: async (limit) => {
      const input = { TableName: table, Key: { [KEY]: { S: cluster } }, ConsistentRead: true };
      try {
        const { Item } = await client.send(new GetItemCommand(input), { abortSignal: AbortSignal.timeout(limit) });
        return { kind: 'item', item: Item && itemOf(Item) };
      } catch (error) {
        return failure(error);
      }
    },
    write: async ({ number, renewal, holder, duration, clock }, condition, limit) => {
      const N = (value: number) => ({ N: String(value) });
      const input = {
        TableName: table,
        Item: {
          [KEY]: { S: cluster },
          holder: { S: holder },
          number: N(number),
          renewal: N(renewal),
          duration: N(duration),
          clock: N(clock),
        },
        ...expressionOf(condition),
      };
      try {
        await client.send(new PutItemCommand(input), { abortSignal: AbortSignal.timeout(limit) });
        return { kind: 'won' };
      } catch (error) {
        return error instanceof ConditionalCheckFailedException ? { kind: 'lost' } : failure(error);
      }
    },
  };
}

function expressionOf(condition: Condition) {
  const given = (ConditionExpression: string, values: Record<string, number | string>) => {
    const used = Object.entries(NAMES).filter(([name]) => ConditionExpression.includes(name));
    const typed = Object.entries(values).map(([name, value]) =>
      typeof value === 'number' ? [name, { N: String(value) }] : [name, { S: value }],
    );
    return {
      ConditionExpression,
      ExpressionAttributeNames: Object.fromEntries(used) as Record<string, string>,
      ExpressionAttributeValues: Object.fromEntries(typed) as Record<string, { N: string } | { S: string }>,
    };
  };
  switch (condition.is) {
    case 'absent':
      return {
        ConditionExpression: 'attribute_not_exists(#cluster)',
        ExpressionAttributeNames: { '#cluster': KEY },
      };
    case 'unchanged':
      return given('#number = :number AND #renewal = :renewal', {
        ':number': condition.number,
        ':renewal': condition.renewal,
      });
    case 'held':
      return given('#number = :number AND #holder = :holder AND #renewal < :renewal', {
        ':number': condition.number,
        ':holder': condition.holder,
        ':renewal': condition.before,
      });
    default:
      return condition satisfies never;
  }
}

type Attributes = Readonly<Record<string, { readonly N?: string; readonly S?: string }>>;

/** What is missing or no number is 0: an item that somebody made by hand is taken over like any other. */
function itemOf(item: Attributes): LeaseItem {
  const number = (name: string) => {
    const value = Number(item[name]?.N);
    return Number.isSafeInteger(value) && value >= 0 ? value : 0;
  };
  return {
    number: number('number'),
    renewal: number('renewal'),
    holder: item.holder?.S ?? '',
    duration: number('duration'),
    clock: number('clock'),
  };
}

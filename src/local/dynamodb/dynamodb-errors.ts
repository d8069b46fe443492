/** Errors of DynamoDB's API with the status, the type and the text that DynamoDB has for them. */
export interface ApiError {
  readonly status: number;
  readonly type: string;
  readonly message: string;
}

/** An answer that is an error of the API. */
export class Refusal extends Error {
  constructor(readonly error: ApiError) {
    super(error.message);
    this.name = error.type;
  }
}

const COMMON = 'com.amazon.coral.service#';
const OWN = 'com.amazonaws.dynamodb.v20120810#';

export const conditionFailed = (): ApiError => ({
  status: 400,
  type: `${OWN}ConditionalCheckFailedException`,
  message: 'The conditional request failed',
});

export const noTable = (): ApiError => ({
  status: 400,
  type: `${OWN}ResourceNotFoundException`,
  message: 'Requested resource not found',
});

export const invalid = (message: string): ApiError => ({
  status: 400,
  type: 'com.amazon.coral.validate#ValidationException',
  message,
});

/** Something that DynamoDB may serve, and this platform does not. */
export const notServed = (what: string): ApiError =>
  invalid(`the local platform does not serve ${what}; see src/local/dynamodb/README.md`);

export const unknownOperation = (target: string): ApiError => ({
  status: 400,
  type: `${COMMON}UnknownOperationException`,
  message: `the local platform serves GetItem and PutItem, and not '${target}'`,
});

export const notJson = (): ApiError => ({
  status: 400,
  type: `${COMMON}SerializationException`,
  message: 'it is no JSON',
});

export const denied = (type: string, message: string): ApiError => ({ status: 400, type: `${COMMON}${type}`, message });

/** Of the platform itself. */
export const noRoom = (reason: string): ApiError => ({
  status: 400,
  type: `${OWN}RequestLimitExceeded`,
  message: `Throughput exceeds the current throughput limit for your account: ${reason}`,
});

export const tooLarge = (limit: number): ApiError => ({
  status: 413,
  type: `${COMMON}RequestEntityTooLargeException`,
  message: `Request must be smaller than ${limit} bytes`,
});

export const internal = (message: string): ApiError => ({ status: 500, type: `${OWN}InternalServerError`, message });

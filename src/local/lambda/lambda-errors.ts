/** Errors of the Invoke API with the status, the type and the body that Lambda has for them. */
import { functionArn } from './lambda-limits';

export interface ApiError {
  readonly status: number;
  readonly type: string;
  readonly body: Readonly<Record<string, string>>;
}

const user = (status: number, type: string, message: string): ApiError => ({
  status,
  type,
  body: { Type: 'User', Message: message, message },
});

export const notFound = (name: string) =>
  user(404, 'ResourceNotFoundException', `Function not found: ${functionArn(name)}`);

export const throttled = (reason: string): ApiError => ({
  status: 429,
  type: 'TooManyRequestsException',
  body: { Reason: reason, Type: 'User', message: 'Rate Exceeded.' },
});

/** Of the platform itself: Lambda has room for more. */
export const noRoom = (reason: string): ApiError => ({
  status: 429,
  type: 'TooManyRequestsException',
  body: { Reason: 'CallerRateLimitExceeded', Type: 'User', message: `Rate Exceeded: ${reason}` },
});

export const requestTooLarge = (limit: number) =>
  user(
    413,
    'RequestEntityTooLargeException',
    `Request must be smaller than ${limit} bytes for the InvokeFunction operation`,
  );

export const eventTooLarge = (size: number, limit: number) =>
  user(
    413,
    'RequestEntityTooLargeException',
    `${size} byte payload is too large for the Event invocation type (limit ${limit} bytes)`,
  );

export const notJson = (reason: string) =>
  user(
    400,
    'InvalidRequestContentException',
    `Could not parse request body into json: Could not parse payload into json: ${reason}`,
  );

export const invalidParameter = (message: string) => user(400, 'InvalidParameterValueException', message);

export const tenantMissing = () =>
  invalidParameter(
    'The invoked function is enabled with tenancy configuration. Add a valid tenant ID in your request and try again.',
  );

/** Of this one only the type is documented. */
export const tenantUnexpected = () =>
  invalidParameter(
    'The invoked function is not enabled with tenancy configuration. Remove the tenant ID from your request and try again.',
  );

/** In the words of every API of AWS that checks a value against its model. */
export const badTenant = (tenant: string, pattern: string, longest: number) => {
  const constraints = [
    ...(tenant.length > longest ? [`Member must have length less than or equal to ${longest}`] : []),
    `Member must satisfy regular expression pattern: ${pattern}`,
  ];
  const at = `Value '${tenant.slice(0, longest)}' at 'tenantId' failed to satisfy constraint: ${constraints[0]}`;
  return user(400, 'ValidationException', `1 validation error detected: ${at}`);
};

export const unknownOperation = (): ApiError => ({ status: 404, type: 'UnknownOperationException', body: {} });

export const denied = (type: string, message: string): ApiError => ({ status: 403, type, body: { message } });

export const serviceError = (message: string): ApiError => ({
  status: 500,
  type: 'ServiceException',
  body: { Type: 'Service', Message: message, message },
});

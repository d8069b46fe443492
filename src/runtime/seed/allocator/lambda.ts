import { Agent } from 'node:http';
import { Agent as HttpsAgent } from 'node:https';
import { checkResult, type Invocation, type InvocationResult } from '../../../contract/platform/invocation';

/** How one invocation ended. */
export type InvokeOutcome =
  | { readonly kind: 'result'; readonly result: InvocationResult }
  /** The function failed: an exception, a crash, its timeout. */
  | { readonly kind: 'function-error'; readonly error: string; readonly message: string }
  /** Nothing was started, and another try may: 429, or a function that is not ready yet. */
  | { readonly kind: 'throttled'; readonly reason: string }
  /** The connection broke: whether the function runs is not known. */
  | { readonly kind: 'broken'; readonly code: string; readonly message: string }
  /** The platform said no. */
  | { readonly kind: 'denied'; readonly code: string; readonly message: string };

/** Invokes a host function and waits for its end. Never rejects. */
export type Invoke = (functionName: string, invocation: Invocation, signal: AbortSignal) => Promise<InvokeOutcome>;

export interface LambdaOptions {
  readonly region: string;
  /** Where the Lambda API is. Default: AWS. */
  readonly endpoint?: string;
  /** Called right before a request is sent. What it throws is thrown to the caller; the request is not sent. */
  readonly check?: () => void;
}

const TRY_AGAIN = new Set([
  'TooManyRequestsException',
  'ResourceConflictException',
  'ResourceNotReadyException',
  'EC2ThrottledException',
  'ENILimitReachedException',
]);

/** What a platform answers to a request whose signature is of another time. */
const OF_CLOCKS = new Set(['InvalidSignatureException', 'RequestExpired', 'SignatureDoesNotMatch']);

/** The SDK has found out how wrong the clock is. It says so of any error, once it is wrong by four minutes. */
interface ServiceError {
  readonly $metadata?: { readonly clockSkewCorrected?: boolean };
}

/**
 * The SDK's Lambda client, for invocations that stay open for as long as a host runs. The SDK is loaded with the first
 * call of this function, not with this module: supervisors that rejoin a restarted seed need not wait for it.
 */
export async function lambdaInvoker(options: LambdaOptions): Promise<Invoke> {
  const { InvokeCommand, LambdaClient, LambdaServiceException } = await import('@aws-sdk/client-lambda');
  // One socket per running host, kept alive: NAT gateways forget a connection that is silent for 350 seconds.
  const agent = { keepAlive: true, keepAliveMsecs: 30_000, maxSockets: Number.POSITIVE_INFINITY };
  const client = new LambdaClient({
    region: options.region,
    endpoint: options.endpoint,
    // A local platform does not check signatures, but the SDK wants something to sign with.
    credentials:
      options.endpoint && !process.env.AWS_ACCESS_KEY_ID
        ? { accessKeyId: 'local', secretAccessKey: 'local' }
        : undefined,
    // Retries are the lifeline's, which knows what may be repeated.
    maxAttempts: 1,
    requestHandler: {
      httpAgent: new Agent(agent),
      httpsAgent: new HttpsAgent(agent),
      connectionTimeout: 5_000,
      requestTimeout: 0,
      socketTimeout: 0,
      socketAcquisitionWarningTimeout: 2 ** 30,
    },
  });
  // A chain of renewals is not recursion: without the trace header Lambda's loop detection does not end it.
  client.middlewareStack.remove('recursionDetectionMiddleware');

  const { check } = options;
  if (check) {
    // After everything that takes time: loading credentials, signing.
    client.middlewareStack.add(
      (next) => (args) => {
        check();
        return next(args);
      },
      { step: 'deserialize', priority: 'low', name: 'mayAct' },
    );
  }

  // The first request of a process loads and compiles much, and fetches credentials: it takes twice as long (6 instead
  // of 13 ms on an idle machine), and no connect shall wait for that. Aborted from the start, this one goes all the way
  // but the last step; nothing is sent.
  const rehearsal = new InvokeCommand({ FunctionName: 'none', Payload: Buffer.from('{}') });
  await client.send(rehearsal, { abortSignal: AbortSignal.abort() }).catch(() => undefined);

  return async (functionName, invocation, signal) => {
    try {
      const output = await client.send(
        new InvokeCommand({
          FunctionName: functionName,
          InvocationType: 'RequestResponse',
          // A function with tenant isolation is refused without, and another one with it.
          TenantId: invocation.pooled ? invocation.host : undefined,
          Payload: Buffer.from(JSON.stringify(invocation)),
        }),
        { abortSignal: signal },
      );
      const text = Buffer.from(output.Payload ?? []).toString('utf8');
      return output.FunctionError === undefined ? resultOf(text) : functionError(text, output.FunctionError);
    } catch (error) {
      const { name, message, Reason } = error as Error & { Reason?: string };
      // The clock of this machine is wrong, or was set. The next request is signed by the platform's.
      if (OF_CLOCKS.has(name) && (error as ServiceError).$metadata?.clockSkewCorrected)
        return { kind: 'throttled', reason: `${name}: the clock of this machine is wrong` };
      if (TRY_AGAIN.has(name)) return { kind: 'throttled', reason: Reason ?? name };
      if (error instanceof LambdaServiceException) {
        const status = error.$metadata.httpStatusCode ?? 0;
        return { kind: status >= 500 ? 'broken' : 'denied', code: name, message };
      }
      return { kind: 'broken', code: (error as NodeJS.ErrnoException).code ?? name, message };
    }
  };
}

function resultOf(text: string): InvokeOutcome {
  let problem = 'no JSON';
  try {
    const checked = checkResult(JSON.parse(text));
    if ('result' in checked) return { kind: 'result', result: checked.result };
    problem = checked.problem;
  } catch {
    // It is not JSON.
  }
  const message = `answered ${text.slice(0, 200)}, which is no result of a host function: ${problem}`;
  return { kind: 'function-error', error: 'BadResult', message };
}

function functionError(text: string, kind: string): InvokeOutcome {
  try {
    const { errorType, errorMessage } = JSON.parse(text) as { errorType?: string; errorMessage?: string };
    return {
      kind: 'function-error',
      error: String(errorType ?? kind).slice(0, 200),
      message: String(errorMessage ?? text).slice(0, 2_000),
    };
  } catch {
    return { kind: 'function-error', error: kind, message: text.slice(0, 2_000) };
  }
}

/**
 * The runtime client: runs inside a sandbox, loads the handler and calls it for one invocation after the other, as
 * AWS's own for Node.js does. Small, because each cold start pays for it. Imports nothing of the project.
 */
import { Agent, type IncomingMessage, request } from 'node:http';
import { join, resolve } from 'node:path';

type Handler = (event: unknown, context: object, callback: (error: unknown, result?: unknown) => void) => unknown;

const env = process.env as Record<string, string>;
const API = env.AWS_LAMBDA_RUNTIME_API;
const PREFIX = '/2018-06-01/runtime';
const agent = new Agent({ keepAlive: true, maxSockets: 1 });
const [hostname, port] = API.split(':');

interface Answer {
  readonly status: number;
  readonly headers: IncomingMessage['headers'];
  readonly body: Buffer;
}

function call(
  method: 'GET' | 'POST',
  path: string,
  body?: string,
  headers: Record<string, string> = {},
): Promise<Answer> {
  return new Promise((done, fail) => {
    const length = { 'content-type': 'application/json', 'content-length': String(Buffer.byteLength(body ?? '')) };
    const all = body === undefined ? headers : { ...headers, ...length };
    const sent = request({ agent, hostname, port, method, path: `${PREFIX}${path}`, headers: all }, (response) => {
      const chunks: Buffer[] = [];
      response.on('data', (chunk: Buffer) => chunks.push(chunk));
      response.on('end', () =>
        done({ status: response.statusCode ?? 0, headers: response.headers, body: Buffer.concat(chunks) }),
      );
      response.on('error', fail);
    });
    sent.setTimeout(0);
    sent.on('error', fail);
    sent.end(body);
  });
}

/** An error as Lambda reports it. */
function describe(error: unknown): { errorType: string; errorMessage: string; trace: string[] } {
  if (!(error instanceof Error)) return { errorType: typeof error, errorMessage: String(error), trace: [] };
  return { errorType: error.name, errorMessage: error.message, trace: error.stack?.split('\n') ?? [] };
}

function fault(path: string, error: unknown): Promise<Answer> {
  const described = describe(error);
  process.stderr.write(`${described.trace.join('\n') || described.errorMessage}\n`);
  const type = { 'lambda-runtime-function-error-type': described.errorType };
  return call('POST', path, JSON.stringify(described), type);
}

class RuntimeError extends Error {
  constructor(kind: string, message: string) {
    super(message);
    this.name = `Runtime.${kind}`;
  }
}

/** `file.export`; a file of /opt is where the sandbox says that /opt is. */
async function loadHandler(): Promise<Handler> {
  const name = env._HANDLER;
  const dot = name.lastIndexOf('.');
  if (dot <= name.lastIndexOf('/')) throw new RuntimeError('MalformedHandlerName', `Bad handler: ${name}`);
  const opt = env.IMAGINARY_OPT;
  const path = opt && name.startsWith('/opt/') ? join(opt, name.slice('/opt'.length)) : name;
  const file = resolve(env.LAMBDA_TASK_ROOT, path.slice(0, path.length - (name.length - dot)));
  const module = await importFile(file);
  const handler = module[name.slice(dot + 1)];
  if (handler === undefined) throw new RuntimeError('HandlerNotFound', `${name} is undefined or not exported`);
  if (typeof handler !== 'function') throw new RuntimeError('HandlerNotFound', `${name} is not a function`);
  return handler as Handler;
}

async function importFile(file: string): Promise<Record<string, unknown>> {
  for (const extension of ['', '.js', '.cjs', '.mjs']) {
    const path = `${file}${extension}`;
    try {
      return extension === '.mjs' ? await import(`file://${path}`) : require(path);
    } catch (error) {
      const { code, message } = error as NodeJS.ErrnoException;
      if (code === 'ERR_REQUIRE_ESM') return await import(`file://${path}`);
      const absent = code === 'MODULE_NOT_FOUND' && message.includes(`'${path}'`);
      const missing = code === 'ERR_MODULE_NOT_FOUND' && message.includes(`'${path}'`);
      if (!absent && !missing) throw error;
    }
  }
  throw new RuntimeError('ImportModuleError', `Error: Cannot find module '${file}'`);
}

function contextOf(headers: IncomingMessage['headers']) {
  const header = (name: string) => headers[`lambda-runtime-${name}`] as string | undefined;
  const deadline = Number(header('deadline-ms'));
  const clientContext = header('client-context');
  return {
    callbackWaitsForEmptyEventLoop: true,
    functionName: env.AWS_LAMBDA_FUNCTION_NAME,
    functionVersion: env.AWS_LAMBDA_FUNCTION_VERSION,
    memoryLimitInMB: env.AWS_LAMBDA_FUNCTION_MEMORY_SIZE,
    logGroupName: env.AWS_LAMBDA_LOG_GROUP_NAME,
    logStreamName: env.AWS_LAMBDA_LOG_STREAM_NAME,
    awsRequestId: header('aws-request-id'),
    invokedFunctionArn: header('invoked-function-arn'),
    ...(clientContext ? { clientContext: JSON.parse(clientContext) } : {}),
    tenantId: header('aws-tenant-id'),
    getRemainingTimeInMillis: () => deadline - Date.now(),
  };
}

/** A handler may be async, or take a callback. */
function run(handler: Handler, event: unknown, context: object): Promise<unknown> {
  return new Promise((done, fail) => {
    const returned = handler(event, context, (error, result) => (error ? fail(error) : done(result)));
    if (returned instanceof Promise || handler.length < 3) done(returned);
  });
}

/** The invocation that the handler is at work on. */
let open: string | undefined;

async function main(): Promise<never> {
  let handler: Handler;
  try {
    handler = await loadHandler();
  } catch (error) {
    await fault('/init/error', error);
    process.exit(1);
  }
  for (;;) {
    const { headers, body } = await call('GET', '/invocation/next');
    const path = `/invocation/${headers['lambda-runtime-aws-request-id']}`;
    open = path;
    const trace = headers['lambda-runtime-trace-id'];
    if (typeof trace === 'string') env._X_AMZN_TRACE_ID = trace;
    let result: string;
    try {
      const event = body.length > 0 ? JSON.parse(body.toString('utf8')) : {};
      result = JSON.stringify(await run(handler, event, contextOf(headers))) ?? 'null';
    } catch (error) {
      open = undefined;
      await fault(`${path}/error`, error);
      continue;
    }
    open = undefined;
    const { status, body: said } = await call('POST', `${path}/response`, result);
    if (status >= 400) process.stderr.write(`the response was refused (${status}): ${said.toString('utf8')}\n`);
  }
}

/** What nobody caught ends the process, and with it the invocation that is under way. */
function crash(error: unknown): void {
  const exit = () => process.exit(129);
  if (open === undefined) {
    process.stderr.write(`${describe(error).trace.join('\n') || String(error)}\n`);
    exit();
  }
  fault(`${open}/error`, error).then(exit, exit);
}
process.on('uncaughtException', crash);
process.on('unhandledRejection', crash);

main().catch((error: Error) => {
  process.stderr.write(`the Runtime API is gone: ${error.message}\n`);
  process.exit(1);
});

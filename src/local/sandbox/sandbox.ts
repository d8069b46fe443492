/** One sandbox: cold start, invocations one after the other, frozen between them, its end. */
import { randomBytes } from 'node:crypto';
import { setImmediate as turn } from 'node:timers/promises';
import type { FunctionLog } from '../lambda/function-log';
import { LIMITS } from '../lambda/lambda-limits';
import { type Outcome, outcomeOf, type SandboxEvent, timedOut } from '../lambda/outcome';
import type { Delivery } from '../lambda/runtime-api';
import type { LocalFunction } from '../types';
import { peakMemory } from './cgroup';
import { removeSandboxFolder, type SandboxProcess, type SandboxSettings, startSandboxProcess } from './sandbox-process';

export type Request = Omit<Delivery, 'deadline' | 'functionName'>;

export interface Sandbox {
  /** Nothing of it is left. Never rejects. */
  readonly ended: Promise<void>;
  isAlive(): boolean;
  /** One at a time. The first one starts the sandbox. */
  invoke(request: Request): Promise<Outcome>;
  /** Ends everything in it, at once. */
  destroy(): Promise<void>;
}

/** @param owner whose slot in the network it gets */
export function createSandbox(fn: LocalFunction, owner: string, settings: SandboxSettings, log: FunctionLog): Sandbox {
  const name = `${settings.prefix}${randomBytes(3).toString('hex')}`;
  let running: SandboxProcess | undefined;
  let frozen = false;
  let alive = true;
  let onEnded: () => void = () => undefined;
  const ended = new Promise<void>((resolve) => {
    onEnded = resolve;
  });

  const destroy = async () => {
    alive = false;
    const last = running;
    last?.launched.kill();
    await last?.exited;
    removeSandboxFolder(name, settings);
    onEnded();
  };

  const start = async (): Promise<SandboxProcess> => {
    const started = await startSandboxProcess(fn, owner, name, settings, log.write);
    running = started;
    void started.exited.then(() => {
      if (running === started) void destroy();
    });
    if (!alive) await destroy(); // it was destroyed meanwhile
    return started;
  };

  /**
   * Until the client waits for its first invocation. Like Lambda, tries twice: again at the expense of the function's
   * own time.
   */
  const init = async (): Promise<SandboxEvent> => {
    const first = await start();
    const event = await first.nextEvent(LIMITS.init);
    if (event.type !== 'timeout') return event;
    log.note(`INIT_REPORT Init Duration: ${LIMITS.init.toFixed(2)} ms\tPhase: init\tStatus: timeout\n`);
    running = undefined;
    first.launched.kill();
    await first.exited;
    return (await start()).nextEvent(fn.timeout);
  };

  const serve = async (current: SandboxProcess, request: Request): Promise<Outcome> => {
    if (frozen && !(await current.thaw())) {
      await destroy();
      return outcomeOf({ type: 'failed', error: new Error('the sandbox did not thaw') }, request.requestId, fn.timeout);
    }
    frozen = false;
    const end = performance.now() + fn.timeout;
    current.api.deliver({ ...request, functionName: fn.name, deadline: Date.now() + fn.timeout });
    const event = await current.nextEvent(fn.timeout);
    if (event.type === 'timeout') {
      log.write(`${new Date().toISOString()} ${request.requestId} ${timedOut(fn.timeout)}\n\n`);
    }
    // An invocation is over when the client requests the next one.
    const answered = event.type !== 'timeout' && event.type !== 'exit';
    const after = answered ? await current.nextEvent(Math.max(0, end - performance.now())) : event;
    if (after.type === 'next') {
      frozen = await current.freeze();
      if (!frozen && alive) log.write('the sandbox did not freeze; it is ended\n');
    }
    if (!frozen) await destroy();
    return outcomeOf(event, request.requestId, fn.timeout);
  };

  const invoke = async (request: Request): Promise<Outcome> => {
    const begin = performance.now();
    let initMs: number | undefined;
    if (!running) {
      const event = await init();
      initMs = performance.now() - begin;
      if (event.type !== 'next') {
        await destroy();
        log.note(`START RequestId: ${request.requestId} Version: $LATEST\n${report(request.requestId, initMs)}`);
        return outcomeOf(event, request.requestId, fn.timeout);
      }
    }
    log.note(`START RequestId: ${request.requestId} Version: $LATEST\n`);
    const outcome = await serve(running!, request);
    // What the function wrote before it answered is in its pipes by now: two turns of the event loop read it.
    await turn();
    await turn();
    log.note(report(request.requestId, performance.now() - begin - (initMs ?? 0), initMs));
    return outcome;
  };

  const report = (requestId: string, took: number, initMs?: number) => {
    const peak = peakMemory(settings.kind.cgroups, name);
    const fields = [
      `REPORT RequestId: ${requestId}`,
      `Duration: ${took.toFixed(2)} ms`,
      `Billed Duration: ${Math.ceil(took)} ms`,
      `Memory Size: ${fn.memorySize} MB`,
      ...(peak === undefined ? [] : [`Max Memory Used: ${Math.ceil(peak / 2 ** 20)} MB`]),
      ...(initMs === undefined ? [] : [`Init Duration: ${initMs.toFixed(2)} ms`]),
    ];
    return `END RequestId: ${requestId}\n${fields.join('\t')}\t\n`;
  };

  return { ended, isAlive: () => alive, invoke, destroy };
}

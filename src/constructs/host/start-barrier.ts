import type { Duration } from 'aws-cdk-lib';

/** How long a start barrier is waited at. */
export interface StartBarrierOptions {
  /**
   * After this time the host has failed, with the names that are missing. 100 milliseconds to 15 minutes.
   *
   * @default Duration.seconds(60)
   */
  readonly timeout?: Duration;
}

/** @internal */
export interface StartBarrierRule {
  readonly count?: number;
  readonly hosts?: readonly string[];
  readonly options: StartBarrierOptions;
}

/**
 * What the start of a host's guest waits for. A host has joined once its supervisor has, so that hosts may wait for each other; one that
 * is suspended has joined, too. A guest that was started once does not wait again when its host is resumed.
 */
export class StartBarrier {
  /**
   * So many hosts have joined, this one included. It starts none of them.
   *
   * @param count 1 to the number of hosts in the cluster
   */
  public static count(count: number, options: StartBarrierOptions = {}): StartBarrier {
    return new StartBarrier({ count, options });
  }

  /**
   * These hosts have joined. They are allocated, at the expense of the host that waits.
   *
   * @param hosts names or aliases of 1 to 256 other hosts
   */
  public static hosts(hosts: string[], options: StartBarrierOptions = {}): StartBarrier {
    return new StartBarrier({ hosts, options });
  }

  /** @internal */
  public readonly _rule: StartBarrierRule;

  private constructor(rule: StartBarrierRule) {
    this._rule = rule;
  }
}

import type { Duration } from 'aws-cdk-lib';

/** How often it is looked at whether a host is ready. */
export interface ReadyOptions {
  /**
   * The time between two looks.
   *
   * @default Duration.millis(250)
   */
  readonly interval?: Duration;

  /**
   * How long one look may take.
   *
   * @default Duration.seconds(5)
   */
  readonly timeout?: Duration;
}

/** How it is found out by HTTP whether a host is ready. */
export interface ReadyHttpOptions extends ReadyOptions {
  /**
   * The port that is asked.
   *
   * @default - the first one that the guest listens on
   */
  readonly port?: number;
}

/** @internal */
export type ReadyRule =
  | { readonly kind: 'listening' }
  | { readonly kind: 'command'; readonly command: readonly string[]; readonly options: ReadyOptions }
  | { readonly kind: 'http'; readonly path: string; readonly options: ReadyHttpOptions }
  | { readonly kind: 'log'; readonly pattern: string };

/**
 * When a host is ready: the connections that started it wait until then. Many servers listen before they can serve, a database while it
 * recovers, say.
 */
export class Ready {
  /** Its guest listens on the port that is connected to. */
  public static listening(): Ready {
    return new Ready({ kind: 'listening' });
  }

  /** A command that runs beside the guest exits with 0, like `['pg_isready', '-h', 'localhost']`. */
  public static command(command: string[], options: ReadyOptions = {}): Ready {
    return new Ready({ kind: 'command', command, options });
  }

  /** A GET of this path is answered with a status of 200 to 399. */
  public static http(path: string, options: ReadyHttpOptions = {}): Ready {
    return new Ready({ kind: 'http', path, options });
  }

  /** The guest has written a line, to standard output or standard error, that matches this regular expression. */
  public static log(pattern: string): Ready {
    return new Ready({ kind: 'log', pattern });
  }

  /** @internal */
  public readonly _rule: ReadyRule;

  private constructor(rule: ReadyRule) {
    this._rule = rule;
  }
}

/**
 * A supervisor for one command of the operator's: joins a running cluster as a client (or as a visitor of a declared
 * host) and serves the shim under that command. No life cycle: it lasts as long as its caller keeps it. For `cli`.
 */

export interface ClientOptions {
  /** `address:port` of the seed's control network. */
  readonly seed: string;
  /** Pre-shared key of the identity `client`, base64: `deriveSecret` of the cluster key, see protocol/psk. */
  readonly secret: string;
  /** Act under this host's name and address. Default: an address of its own from the cluster's client range. */
  readonly as?: string;
  /** Network `flat`: the cluster's number N. Absent: not flat. */
  readonly flat?: number;
  /** Folder for the files that guests map; made when missing, emptied of its own files by `close`. */
  readonly runDir: string;
  /** Where `native.node` is. Default: beside the bundle, else the built layer. */
  readonly nativeDir?: string;
  /** Where `shim-glibc.so` and `shim-musl.so` are. Default: beside the bundle, else the built layer. */
  readonly shimDir?: string;
  /** What shims and the supervisor itself have to say, one line each. Default: nothing is shown. */
  readonly log?: (line: string) => void;
  /** Ends the attempt to join, and later the client. */
  readonly signal?: AbortSignal;
}

export interface Client {
  readonly self: { readonly name: string; readonly address: string };
  /** To be added to the environment of every child: where the run directory is. */
  readonly env: Readonly<Record<string, string>>;
  /**
   * The whole environment for one command: `base` plus `env` plus LD_PRELOAD (in front of one that is there) with the
   * shim for the libc of the program that the command starts.
   * @throws ProgramError when there is no such program or preloading cannot reach it; `message` says why
   */
  environmentFor(
    command: readonly string[],
    base: Readonly<Record<string, string | undefined>>,
    cwd?: string,
  ): Record<string, string>;
  /** The shim for a program file. @throws ProgramError */
  shimFor(path: string): string;
  /** Rejects when the seed ends this client's membership (the cluster goes down). Never resolves. */
  readonly ended: Promise<never>;
  close(): Promise<void>;
}

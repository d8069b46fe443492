/** `platform.json` of a running local platform: everything that others need to work with it. */
import * as v from 'valibot';
import type { Immutable } from '../fields';

const text = v.string();

const flat = v.strictObject({
  kind: v.literal('flat'),
  /** The real address of virtual a.b.c.d is 127.number.c.d. */
  number: v.number(),
});
const nat = v.strictObject({
  kind: v.literal('nat'),
  /** Public addresses are out of this range. */
  range: text,
  /** Kind of each host's NAT, in the words of `--nat`. */
  nats: v.record(text, text),
  /** Unix socket that leads to the seed. */
  operators: text,
  /** The same for the other seed, where there is one. */
  standbyOperators: v.optional(text),
  /** Unix socket where programs of this machine request a slot, see `src/local/network/control-socket.ts`. */
  control: text,
  /** Proves that one may. */
  token: text,
});
const network = v.variant('kind', [flat, nat]);
export type NatInfo = Immutable<v.InferOutput<typeof nat>>;
export type NetworkInfo = Immutable<v.InferOutput<typeof network>>;

/** Where and as whom to call the Invoke API. */
const lambdaEndpoint = v.strictObject({ url: text, region: text, accessKeyId: text, secretAccessKey: text });
export type LambdaEndpoint = Immutable<v.InferOutput<typeof lambdaEndpoint>>;

/** What this machine allows, and so what holds in each sandbox. */
const isolation = v.strictObject({
  /** The file system is read-only except `/tmp`, which is the sandbox's own. */
  filesystem: v.boolean(),
  /** The handler and the guests run as uid 993. */
  uid: v.boolean(),
  /** A sandbox sees its own processes only, and no process of it outlives it. */
  pids: v.boolean(),
  /** There is no `/dev/shm`, as on Lambda. */
  devShm: v.boolean(),
  /** How sandboxes stand still between invocations. */
  freeze: v.picklist(['cgroup', 'sigstop']),
  /** The function's memory is a limit. */
  memory: v.boolean(),
  /** What does not hold, in words, each with its reason. */
  missing: v.array(text),
});
export type Isolation = Immutable<v.InferOutput<typeof isolation>>;

const exposedHost = v.strictObject({
  host: text,
  protocol: v.picklist(['tcp', 'udp']),
  address: text,
  /** The port that is bound. */
  port: v.number(),
  /** The port that the manifest wants. */
  wanted: v.number(),
  /** The port that the host listens on. */
  hostPort: v.number(),
  /** The seed ends TLS. */
  tls: v.optional(v.literal(true)),
  serverNames: v.array(text),
});
export type ExposedHost = Immutable<v.InferOutput<typeof exposedHost>>;

const platformInfo = v.strictObject({
  version: v.literal(1),
  pid: v.number(),
  /** Tells the process `pid` from a later one of the same number. */
  processStart: text,
  /** Unix time, milliseconds. */
  startedAt: v.number(),
  cluster: text,
  cidr: text,
  network,
  /** `address:port` of the seed's control network. */
  seed: text,
  /** The same of the other seed, where the manifest has `seed.standby`. */
  standby: v.optional(text),
  lambda: lambdaEndpoint,
  keyFile: text,
  manifestFile: text,
  /** Holds `<host>.log` for each host (`<function>.log` for a function of no host) and `seed.log`. */
  logDir: text,
  isolation,
  /** Where clients from outside reach hosts: the manifest's `exposes`, as this machine has them. */
  exposed: v.optional(v.array(exposedHost)),
  /** The platform had to end by itself. Unix time, milliseconds, and why. */
  ended: v.optional(v.strictObject({ time: v.number(), reason: text })),
});
/** Mode 0600 in its file: it holds credentials. */
export type PlatformInfo = Immutable<v.InferOutput<typeof platformInfo>>;

/** Undefined: it is none of this version. */
export function checkPlatformInfo(value: unknown): PlatformInfo | undefined {
  const checked = v.safeParse(platformInfo, value);
  return checked.success ? checked.output : undefined;
}

/** Connects that may fail: what the caller gets, and after how long. */
import type { TestCluster } from './cluster';
import { python } from './guests';

export interface Attempt {
  /** `ok`, or the errno's name. */
  readonly outcome: string;
  readonly seconds: number;
}

/** Asks for one connect for each line of its input: HOST PORT. */
const DIALLER = `
import errno, socket, sys, time
print('ready', flush=True)
for line in sys.stdin:
    host, port = line.split()
    with socket.socket() as sock:
        start = time.monotonic()
        code = sock.connect_ex((host, int(port)))
        print(errno.errorcode.get(code, 'ok'), time.monotonic() - start, flush=True)
`;

const parse = (line: string): Attempt => {
  const [outcome, seconds] = line.trim().split(' ');
  return { outcome, seconds: Number(seconds) };
};

/** One connect, by a client of its own. */
export async function attempt(cluster: TestCluster, host: string, port = 7000): Promise<Attempt> {
  const { stdout, stderr } = await cluster.exec([python, '-c', DIALLER], { input: `${host} ${port}\n` });
  expect(stderr).toBe('');
  return parse(stdout.split('\n')[1]);
}

export const dialler = (): readonly string[] => [python, '-u', '-c', DIALLER];
export { parse as parseAttempt };

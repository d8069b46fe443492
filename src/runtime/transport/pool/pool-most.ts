/** How many connections a member keeps ready at most (docs/operating.md). */
const POOL_MOST_ENV = 'IMAGINARY_POOL_MOST';
const DEFAULT = 256;
/** A function has 1,024 descriptors, and its guests need some. */
const HIGHEST = 512;

/**
 * @param environment of the function process, or of `imaginary exec`
 * @throws Error that names the value and what is allowed
 */
export function poolMost(environment: Readonly<Record<string, string | undefined>>): number {
  const text = environment[POOL_MOST_ENV];
  if (text === undefined || text === '') return DEFAULT;
  const most = Number(text);
  if (/^\d+$/.test(text) && most <= HIGHEST) return most;
  throw new Error(
    `${POOL_MOST_ENV} is '${text}'. It must be a whole number from 0 (none is kept ready) to ${HIGHEST}.`,
  );
}

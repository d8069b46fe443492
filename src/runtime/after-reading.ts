/**
 * Calls `act` after so many milliseconds, when what has come until then has been read. A process that had no processor for
 * so long finds its timer due and the answer there: what it waits for is not late.
 * @returns gives it up
 */
export function afterReading(ms: number, act: () => void): () => void {
  let read: NodeJS.Immediate | undefined;
  const timer = setTimeout(() => {
    read = setImmediate(act);
  }, ms);
  return () => {
    clearTimeout(timer);
    clearImmediate(read);
  };
}

/**
 * Looks until it holds: for what is no event to a test, such as the end of a process that is not its child.
 * @param limit milliseconds
 */
export async function eventually(holds: () => boolean | Promise<boolean>, limit = 10_000): Promise<void> {
  for (const deadline = performance.now() + limit; !(await holds()); ) {
    if (performance.now() > deadline) throw new Error(`not within ${limit} ms: ${holds}`);
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
}

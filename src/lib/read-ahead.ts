/**
 * Runs the reads of `plans`, up to `depth` at the same time, and yields the results in order while the caller works on earlier ones. An error of a plan or
 * a read is thrown at its place in the order. Waits for running reads when the caller stops.
 */
export async function* readAhead<P, R>(
  plans: AsyncGenerator<P, void, undefined>,
  depth: number,
  read: (plan: P) => Promise<R>,
): AsyncGenerator<R, void, undefined> {
  const next = async (): Promise<{ result: R } | undefined> => {
    const plan = await plans.next();
    return plan.done === true ? undefined : { result: await read(plan.value) };
  };
  const ahead: Promise<{ result: R } | undefined>[] = [];
  const begin = (): void => {
    const read = next();
    read.catch(() => undefined);
    ahead.push(read);
  };
  try {
    for (let begun = 0; begun < depth; begun += 1) begin();
    for (let found = await ahead.shift(); found; found = await ahead.shift()) {
      begin();
      yield found.result;
    }
  } finally {
    await Promise.allSettled(ahead);
    await plans.return();
  }
}

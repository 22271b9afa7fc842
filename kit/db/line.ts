/** Runs one piece of work after another, in the order in which they came, whether or not the former ones failed. */
export type Line = <T>(work: () => Promise<T>) => Promise<T>;

export function newLine(): Line {
  let last: Promise<unknown> = Promise.resolve();
  return (work) => {
    const next = last.then(work);
    last = next.catch(() => undefined);
    return next;
  };
}

import type { Answer, Question, Verbs } from './part.ts';

/*
 * The process of a part: answers questions until the runner disconnects.
 */

const [, , module, factory] = process.argv;
const exported = (await import(module!)) as Record<string, () => Verbs>;
const verbs = exported[factory!]!();

async function answer({ id, verb, input }: Question): Promise<Answer> {
  try {
    return { id, result: verb === '' ? undefined : await verbs[verb]!(input as never) };
  } catch (error) {
    return { id, error: error instanceof Error ? (error.stack ?? error.message) : String(error) };
  }
}

process.on('message', (question: Question) => {
  void answer(question).then((each) => process.send?.(each));
});
process.on('disconnect', () => process.exit());

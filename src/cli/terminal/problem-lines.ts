import { escapeLine } from '../../lib/terminal-text.ts';

interface Troubled {
  id: number;
  name: string;
  problems: readonly string[];
}

/** One text with a line for each problem of a webhook; an empty list if there is no problem. */
export function problemLines(webhooks: readonly Troubled[]): string[] {
  const lines = webhooks.flatMap(({ id, name, problems }) =>
    problems.map((problem) => escapeLine(`Webhook ${id} (${name}): ${problem}`)),
  );
  return lines.length === 0 ? [] : [lines.join('\n')];
}

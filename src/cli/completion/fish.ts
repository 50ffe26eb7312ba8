import { quote, type Entry } from './tree.ts';

/** One line of fish for each command and each option, with the condition under which it is offered. */
export function writeFish(entries: readonly Entry[]): string {
  return [
    '# fish completion for odontology-webhooks',
    'complete -c odontology-webhooks -f',
    ...entries.flatMap(linesOf),
  ].join('\n');
}

function linesOf({ path, commands, options, words }: Entry): string[] {
  const names = commands.map(({ name }) => name);
  const seen = path.map((word) => `__fish_seen_subcommand_from ${word}`);
  const none = names.length === 0 ? [] : [`not __fish_seen_subcommand_from ${names.join(' ')}`];
  const start = `complete -c odontology-webhooks -n ${quote([...seen, ...none].join('; and '))}`;
  return [
    ...commands.map(({ name, description }) => `${start} -a ${name} -d ${quote(description)}`),
    ...words.map((word) => `${start} -a ${word}`),
    ...options.map(({ names: spellings, value, description }) => {
      const flags = spellings.map((name) =>
        name.startsWith('--') ? `-l ${name.slice(2)}` : `-s ${name.slice(1)}`,
      );
      const values = Array.isArray(value) ? [`-x -a ${quote(value.join(' '))}`] : [];
      const taken = value === 'file' ? ['-r -F'] : value === 'text' ? ['-x'] : values;
      return [start, ...flags, ...taken, '-d', quote(description)].join(' ');
    }),
  ];
}

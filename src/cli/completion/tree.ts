import type { Command } from 'commander';

/** One command, as a shell completes it. */
export interface Entry {
  /** The words before it: `[]` is the program, `['webhooks', 'create']` a command. */
  path: readonly string[];
  description: string;
  commands: readonly { name: string; description: string }[];
  options: readonly OptionEntry[];
  /** The words that its argument may be, where they are few. */
  words: readonly string[];
}

export interface OptionEntry {
  /** `--config`, and `-c` where there is one. */
  names: readonly string[];
  description: string;
  /** What comes behind it. */
  value: 'none' | 'file' | 'text' | readonly string[];
}

/** Every command of a program, the program itself first: what the parser knows is what is completed. */
export function readTree(program: Command, path: readonly string[] = []): Entry[] {
  const help = program.createHelp();
  const commands = help.visibleCommands(program);
  const standard = findDefault(program);
  const entry: Entry = {
    path,
    description: program.description(),
    commands: commands.map((command) => ({ name: command.name(), description: command.description() })),
    // What a command does without a further word, its options do as well.
    options: [...help.visibleOptions(program), ...(standard ? help.visibleOptions(standard) : [])]
      .filter(({ long }, index, all) => all.findIndex((other) => other.long === long) === index)
      .map(({ short, long, description, argChoices, flags }) => ({
        names: [long, short].filter((name) => name !== undefined),
        description,
        value: argChoices ?? (!flags.includes('<') ? 'none' : flags.includes('<file>') ? 'file' : 'text'),
      })),
    words: program.registeredArguments.flatMap(({ argChoices }) => argChoices ?? []),
  };
  const inner = commands
    .filter((command) => command.name() !== 'help')
    .flatMap((command) => readTree(command, [...path, command.name()]));
  return [entry, ...inner];
}

/** The command that runs when none of the others is named. */
function findDefault(program: Command): Command | undefined {
  const { _defaultCommandName: name } = program as unknown as { _defaultCommandName?: string | null };
  return program.commands.find((command) => command.name() === name);
}

/** `/webhooks/create`: by which the scripts tell places apart. */
export function placeOf(path: readonly string[]): string {
  return path.map((word) => `/${word}`).join('');
}

/** Text as one word of any of these shells. */
export function quote(text: string): string {
  return `'${text.replaceAll("'", String.raw`'\''`)}'`;
}

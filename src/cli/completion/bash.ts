import { placeOf, quote, type Entry } from './tree.ts';

/** The function that bash calls. It walks the words as the parser does, then offers the possible next words. */
export function writeBash(entries: readonly Entry[]): string {
  const commands = entries.filter(({ path }) => path.length > 0).map(({ path }) => quote(placeOf(path)));
  return `# bash completion for odontology-webhooks
_odontology_webhooks() {
  local current=\${COMP_WORDS[COMP_CWORD]} before=\${COMP_WORDS[COMP_CWORD - 1]} place='' offered='' i
  for ((i = 1; i < COMP_CWORD; i++)); do
    case "$place/\${COMP_WORDS[i]}" in
      ${commands.join(' | ')}) place="$place/\${COMP_WORDS[i]}" ;;
    esac
  done
  COMPREPLY=()
  case "$place $before" in
${entries.flatMap(valueCases).join('\n')}
  esac
  case "$place" in
${entries.map(offerCase).join('\n')}
  esac
  # shellcheck disable=SC2207
  COMPREPLY=($(compgen -W "$offered" -- "$current"))
}
complete -F _odontology_webhooks odontology-webhooks`;
}

/** The values that may follow an option. For a text there are no suggestions. */
function valueCases({ path, options }: Entry): string[] {
  return options
    .filter(({ value }) => value !== 'none')
    .map(({ names, value }) => {
      const patterns = names.map((name) => quote(`${placeOf(path)} ${name}`)).join(' | ');
      if (value === 'text') return `    ${patterns}) return ;;`;
      const generate = Array.isArray(value) ? `-W ${quote(value.join(' '))}` : '-f';
      return `    ${patterns})
      ${value === 'file' ? 'compopt -o filenames 2> /dev/null\n      ' : ''}# shellcheck disable=SC2207
      COMPREPLY=($(compgen ${generate} -- "$current"))
      return
      ;;`;
    });
}

function offerCase({ path, commands, options, words }: Entry): string {
  const offered = [...commands.map(({ name }) => name), ...words, ...options.flatMap(({ names }) => names)];
  return `    ${quote(placeOf(path))}) offered=${quote(offered.join(' '))} ;;`;
}

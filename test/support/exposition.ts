/** One line of the exposition: a value with its labels. */
export interface Sample {
  name: string;
  labels: Record<string, string>;
  value: number;
}

/** A metric with all its samples. */
export interface Family {
  type: 'counter' | 'gauge' | 'histogram' | 'summary';
  help: string;
  samples: Sample[];
}

export const labelsOf = ({ labels }: Sample): string[] => Object.keys(labels);

const line =
  /^(?<name>[a-zA-Z_:][a-zA-Z0-9_:]*)(?:\{(?<labels>.*)\})? (?<value>[+-]?Inf|Nan|NaN|[-+0-9.eE]+)$/;
const label = /([a-zA-Z_][a-zA-Z0-9_]*)="((?:[^"\\\n]|\\["\\n])*)"(?:,|$)/y;

/** Parses Prometheus' text format 0.0.4 strictly: throws at the first invalid line. */
export function parseExposition(text: string): Map<string, Family> {
  if (!text.endsWith('\n')) throw new Error('the last line has no end');
  const families = new Map<string, Family>();
  const helps = new Map<string, string>();
  let current = '';
  for (const raw of text.split('\n')) {
    const [hash, word, name = '', ...rest] = raw.split(' ');
    if (raw === '') continue;
    if (hash === '#' && word === 'HELP') {
      if (helps.has(name)) throw new Error(`two helps: ${raw}`);
      helps.set(name, rest.join(' '));
    } else if (hash === '#' && word === 'TYPE') {
      if (families.has(name) || !helps.has(name)) throw new Error(`a type without one help: ${raw}`);
      families.set(name, { type: rest[0] as Family['type'], help: helps.get(name)!, samples: [] });
      current = name;
    } else {
      const sample = toSample(raw);
      const family = families.get(current);
      if (!family || !belongs(sample, current, family.type)) throw new Error(`outside its metric: ${raw}`);
      const key = JSON.stringify([sample.name, sample.labels]);
      if (family.samples.some((other) => JSON.stringify([other.name, other.labels]) === key))
        throw new Error(`twice: ${raw}`);
      family.samples.push(sample);
    }
  }
  return families;
}

function toSample(raw: string): Sample {
  const groups = line.exec(raw)?.groups;
  if (!groups) throw new Error(`not a sample: ${raw}`);
  const labels: Record<string, string> = {};
  const text = groups['labels'] ?? '';
  label.lastIndex = 0;
  while (label.lastIndex < text.length) {
    const match = label.exec(text);
    if (!match || match[1]! in labels) throw new Error(`not a list of labels: ${raw}`);
    labels[match[1]!] = match[2]!;
  }
  const value = groups['value']!;
  return {
    name: groups['name']!,
    labels,
    value: value.endsWith('Inf') ? (value.startsWith('-') ? -Infinity : Infinity) : Number(value),
  };
}

function belongs({ name, labels }: Sample, family: string, type: Family['type']): boolean {
  if (type === 'counter' || type === 'gauge') return name === family;
  const suffix = name.slice(family.length);
  if (!name.startsWith(family)) return false;
  if (type === 'histogram')
    return suffix === '_bucket' ? 'le' in labels : ['_sum', '_count'].includes(suffix);
  return suffix === '' ? 'quantile' in labels : ['_sum', '_count'].includes(suffix);
}

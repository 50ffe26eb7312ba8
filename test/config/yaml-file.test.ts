import { describe, expect, it } from 'vitest';
import { createProblems, formatProblem, problemsError } from '../../src/config/problems.ts';
import { readYamlFile } from '../../src/config/yaml/yaml-file.ts';
import { makeFolder, refusal } from './folder.ts';

const env = { NAME: 'Ana', EMPTY: '', PORT: '8377' };

function read(content: string | Uint8Array) {
  const file = makeFolder().write('file.yaml', content);
  const yaml = readYamlFile(file, { code: 'ERR_RULES', env });
  const told = (problems = yaml.problems) =>
    problems.map((problem) => formatProblem(problem).replace(file, 'file.yaml'));
  return { ...yaml, told };
}

describe('references to the environment', () => {
  it.each([
    ['a: ${env:NAME}', { a: 'Ana' }],
    ['a: "hola ${env:NAME}, ${env:NAME}!"', { a: 'hola Ana, Ana!' }],
    ['a: ${env:EMPTY}', { a: '' }],
    ['a: ${env:PORT}', { a: '8377' }],
    ['a: $${env:NAME} $ {x}', { a: '${env:NAME} $ {x}' }],
    ["a: [{ b: '${env:NAME}' }]", { a: [{ b: 'Ana' }] }],
    ["'${env:NAME}': 1", { '${env:NAME}': 1 }],
    ['a: |\n  ${env:NAME}\n', { a: 'Ana\n' }],
  ])('%s', (content, value) => {
    const yaml = read(content);
    expect([yaml.value, yaml.told()]).toEqual([value, []]);
  });

  it('tells every reference that cannot be resolved, with its place', () => {
    const yaml = read(
      'a: ${env:MISSING}\nb:\n  - x\n  - c: ${NAME}\n    d: ${env:NAME\ne: ${env:toString}\n',
    );
    const malformed = 'has a ${…} that is not ${env:NAME}; write $${ for a plain ${';
    expect(yaml.told()).toEqual([
      'file.yaml:1:1 a: the environment variable MISSING is not defined',
      `file.yaml:4:5 b[1].c: ${malformed}`,
      `file.yaml:5:5 b[1].d: ${malformed}`,
      'file.yaml:6:1 e: the environment variable that it names is not defined',
    ]);
  });
});

describe('places', () => {
  const yaml = () => read('# a comment\nlist:\n  - one\n  - two: { deep: 1 }\nbase: &b\n  x: 1\ncopy: *b\n');

  it.each([
    [['list'], [2, 1]],
    [
      ['list', 0],
      [3, 5],
    ],
    [
      ['list', 1, 'two', 'deep'],
      [4, 12],
    ],
    [
      ['copy', 'x'],
      [6, 3],
    ],
    [
      ['list', 1, 'not there', 'at all'],
      [4, 5],
    ],
    [
      ['list', 7],
      [2, 1],
    ],
    [[], [2, 1]],
  ])('%j', (path, [line, column]) => {
    expect(yaml().at(path)).toMatchObject({ line, column });
  });

  it('is the first line of an empty file', () => {
    expect(read('').at(['a'])).toMatchObject({ line: 1, column: 1 });
    expect(read('# nothing\n').value).toBeNull();
  });
});

describe('mistakes of syntax', () => {
  it.each([
    ['a: 1\nb: [*]', 'file.yaml:2:5', 'must be in quotes, as in "*"'],
    ['a: [ok, *.created]', 'file.yaml:1:9', 'must be in quotes, as in "*"'],
    ['a: *hunter2', 'file.yaml:1:1', 'must be in quotes, as in "*"'],
    ['a: &x [*x]', 'file.yaml:1:8', 'contains itself'],
    ['a: 1\nb: 2\na: 3', 'file.yaml:3:1', 'this key stands twice'],
    ['a:\n\t- 1', 'file.yaml:2:1', 'not with tabs'],
    ['a: @hunter2', 'file.yaml:1:4', 'must be in quotes'],
    ['a: !hunter2 x', 'file.yaml:1:4', 'must be in quotes'],
    ['a: |hunter2', 'file.yaml:1:5', 'Block scalar header'],
    ['a: "hunter2\\q"', 'file.yaml:1:12', 'must be written \\\\'],
    ['a: "hunter2', 'file.yaml:1:12', 'Missing closing'],
    ['a: 1\n---\na: 2', 'file.yaml:2:1', 'only one document'],
    ['a: { b: ${env:NAME}, c: 1 }', 'file.yaml:1:10', '${…} must be in quotes'],
    ['a: [${env:NAME}]', 'file.yaml:1:6', '${…} must be in quotes'],
    ['a: hunter2: b', 'file.yaml:1:4', 'Nested mappings'],
  ])('%j', (content, place, words) => {
    const yaml = read(content);
    const [line = '', ...others] = yaml.told();
    expect(line.startsWith(`${place} `)).toBe(true);
    expect(line).toContain(words);
    expect(line).not.toContain('hunter2');
    expect(others).toEqual([]);
    expect(yaml.value).toBeNull();
  });
});

describe('files that cannot be read', () => {
  it('says that there is none, with the remedy of the caller', () => {
    const error = refusal(() =>
      readYamlFile('/nowhere/x.yaml', { code: 'ERR_RULES', missingRemedy: 'Write it.' }),
    );
    expect(error).toMatchObject({
      code: 'ERR_RULES',
      message: 'there is no file /nowhere/x.yaml',
      remedy: 'Write it.',
    });
  });

  it('says that a folder is none', () => {
    const { path } = makeFolder();
    expect(refusal(() => readYamlFile(path, { code: 'ERR_CONFIG' })).code).toBe('ERR_CONFIG');
  });

  it('refuses another encoding than UTF-8', () => {
    const latin1 = Buffer.from('name: Clínica', 'latin1');
    expect(refusal(() => read(latin1))).toMatchObject({ remedy: 'Save it as UTF-8.' });
    expect(read('\uFEFFname: Clínica').value).toEqual({ name: 'Clínica' });
  });

  it('refuses aliases that unfold without end', () => {
    const levels = Array.from({ length: 9 }, (_, i) => `l${i + 1}: &l${i + 1} [${`*l${i},`.repeat(9)}]`);
    expect(refusal(() => read(['l0: &l0 [1]', ...levels].join('\n'))).message).toContain('too many aliases');
  });
});

describe('problems', () => {
  it('are reported in the order of the file, once for a path and what lies in it', () => {
    const yaml = read('a:\n  b: ${env:MISSING}\nc: 1\n');
    const problems = createProblems(yaml);
    problems.add(['c'], 'is wrong');
    problems.add(['a', 'b'], 'follows from the missing variable');
    problems.add(['a', 'x'], 'is missing');
    problems.add(['a', 'x', 0], 'follows');
    const lines = yaml.told(problems.list());
    expect(lines).toEqual([
      'file.yaml:1:1 a.x: is missing',
      'file.yaml:2:3 a.b: the environment variable MISSING is not defined',
      'file.yaml:3:1 c: is wrong',
    ]);
    expect(problemsError('ERR_RULES', problems.list()).message.split('\n')).toHaveLength(3);
  });
});

import { defineConfig, globalIgnores } from 'eslint/config';
import tseslint from 'typescript-eslint';

// Data flows down this list, imports point up: a room may import the rooms to its left and nothing to its right.
const rooms = [
  'lib',
  'crypto',
  'db',
  'config',
  'binlog',
  'change',
  'event',
  'outbox',
  'delivery',
  'audit',
  'capture',
  'http',
  'daemon',
  'demo',
  'cli',
];

const sleepInTests = {
  selector: "CallExpression[callee.name='setTimeout']",
  message: 'A test waits for a signal (waitFor in test/support), it does not sleep.',
};

/** One block a room: which imports it may not have. */
const boundaries = rooms.map((room, index) => ({
  files: room === 'daemon' ? ['src/daemon.ts', 'src/daemon/**'] : [`src/${room}/**`],
  rules: {
    'no-restricted-imports': [
      'error',
      {
        patterns: [
          ...rooms.slice(index + 1).map((later) => ({
            regex: `(^|/)\\.\\./(?:\\.\\./)*${later}(/|\\.ts$)`,
            message: `${room}/ stands before ${later}/: the data flows down, imports point up.`,
          })),
          ...(['http', 'cli'].includes(room)
            ? []
            : [{ group: ['fastify', '@fastify/*'], message: 'Only http/ listens.' }]),
          ...(['delivery', 'cli'].includes(room)
            ? []
            : [{ group: ['undici'], message: 'Only delivery/ calls endpoints.' }]),
          ...(room === 'cli' ? [] : [{ group: ['commander'], message: 'Only cli/ speaks to a terminal.' }]),
        ],
      },
    ],
  },
}));

export default defineConfig(
  globalIgnores(['dist', 'drizzle', 'node_modules']),
  {
    files: ['**/*.ts'],
    extends: [tseslint.configs.strictTypeChecked],
    languageOptions: { parserOptions: { projectService: true, tsconfigRootDir: import.meta.dirname } },
    rules: {
      '@typescript-eslint/no-floating-promises': 'error',
      '@typescript-eslint/no-misused-promises': 'error',
      '@typescript-eslint/switch-exhaustiveness-check': [
        'error',
        { considerDefaultExhaustiveForUnions: true },
      ],
      '@typescript-eslint/only-throw-error': 'error',
      '@typescript-eslint/consistent-type-imports': 'error',
      '@typescript-eslint/restrict-template-expressions': [
        'error',
        { allowNumber: true, allowBoolean: true },
      ],
      '@typescript-eslint/no-confusing-void-expression': ['error', { ignoreArrowShorthand: true }],
      '@typescript-eslint/no-non-null-assertion': 'off',
      // Both misread closures: a flag that another callback sets looks constant to them.
      '@typescript-eslint/no-unnecessary-condition': 'off',
      '@typescript-eslint/unbound-method': 'off',
      'max-params': ['error', 4],
      'max-lines': ['error', { max: 390, skipBlankLines: true, skipComments: true }],
      'max-lines-per-function': ['error', { max: 110, skipBlankLines: true, skipComments: true }],
      'no-console': 'error',
    },
  },
  {
    files: ['src/**/*.ts'],
    ignores: ['src/lib/clock.ts', 'src/demo/**', 'src/cli/**'],
    rules: {
      'no-restricted-properties': [
        'error',
        { object: 'Date', property: 'now', message: 'Only lib/clock reads the clock.' },
        { object: 'process', property: 'exit', message: 'Only cli/ ends the process.' },
      ],
    },
  },
  {
    files: ['src/**/*.ts'],
    ignores: ['src/config/**', 'src/demo/**', 'src/cli/**'],
    rules: {
      'no-restricted-syntax': [
        'error',
        {
          selector: "MemberExpression[object.name='process'][property.name='env']",
          message: 'Only config/ reads the environment.',
        },
      ],
    },
  },
  ...boundaries,
  {
    files: ['test/**/*.ts'],
    rules: {
      'max-lines-per-function': 'off',
      'max-lines': 'off',
      'no-restricted-syntax': ['error', sleepInTests],
      '@typescript-eslint/no-unsafe-assignment': 'off',
      '@typescript-eslint/no-unsafe-member-access': 'off',
    },
  },
);

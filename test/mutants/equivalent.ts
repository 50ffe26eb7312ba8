import type { Mutant } from './find-mutants.ts';

/** A mutant that no test can find, and why. */
export interface Equivalent extends Pick<Mutant, 'file' | 'replacement'> {
  /** The line that it changes, without the spaces at both ends. */
  line: string;
  why: string;
}

/** Named one by one, after a person has looked at each. */
export const equivalents: readonly Equivalent[] = [
  ...['!(offsets.size >= maxDays)', '>'].map((replacement) => ({
    file: 'src/change/clinic-zone.ts',
    line: 'if (offsets.size >= maxDays) offsets.clear();',
    replacement,
    why: 'A cache that is cleared earlier or later answers the same.',
  })),
];

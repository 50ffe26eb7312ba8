import { CaptureFault } from '../../binlog/halt.ts';
import { acceptGapCommand, steps } from '../../binlog/remedy.ts';
import type { Change } from '../../change/types.ts';
import { setVariable } from '../../db/connection/set-variable.ts';

/** The fault for a rule that needs cells of this change that the binlog left out and that cannot be read again. */
export function absentCells({ table, before, after }: Change): CaptureFault {
  const absent = table.columns.filter((_, i) => [before, after].some((row) => row && row[i] === undefined));
  const names = absent.map(({ name }) => name).join(', ');
  return new CaptureFault(
    'absent-columns',
    `a rule needs values of ${table.name} that the log left out and that cannot be read any more (${names})`,
    {
      table: `${table.schema}.${table.name}`,
      remedy: steps(
        setVariable('binlog_row_image', "'FULL'"),
        'Sessions that set binlog_row_image themselves must set it to FULL.',
        acceptGapCommand('absent columns'),
      ),
    },
  );
}

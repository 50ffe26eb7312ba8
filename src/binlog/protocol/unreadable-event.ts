import { setVariable } from '../../db/connection/set-variable.ts';
import { eventType, nameOfEvent, verdictOf } from './event-type.ts';
import { CaptureFault } from '../halt.ts';
import { FLAG_IGNORABLE, type LogEvent } from './log-event.ts';
import { acceptGapCommand, steps } from '../remedy.ts';

/** Returns why capture stops at an event of an unreadable type. */
export function unreadableEvent(type: number): CaptureFault {
  switch (type) {
    case eventType.partialUpdateRows:
      return new CaptureFault(
        'partial-json',
        'the log holds a partial JSON update, which says only what changed inside the value',
        {
          remedy: steps(
            // MariaDB has no such events.
            setVariable('binlog_row_value_options', "''", 'mysql'),
            'Sessions that set binlog_row_value_options themselves must set it to an empty string.',
            acceptGapCommand('partial JSON update'),
          ),
        },
      );
    case eventType.incident:
      return new CaptureFault(
        'incident',
        'the server logged an incident: changes may be missing from its log',
        {
          remedy: steps("Find the cause in the server's error log.", acceptGapCommand('incident in the log')),
        },
      );
    default:
      return new CaptureFault('unknown-event', `the log holds an event of the ${describeType(type)}`, {
        remedy: steps(
          'Upgrade odontology-webhooks to a version that knows this server: capture then continues.',
          'Or give up the transaction that holds the event:',
          acceptGapCommand('unknown event'),
        ),
      });
  }
}

function describeType(type: number): string {
  const name = nameOfEvent(type);
  return name === undefined
    ? `unknown type ${type}`
    : `type ${type} (${name}), which does not show its changes`;
}

/** Whether an event is skipped. For types unknown to all servers so far, its writer decides with a flag (Aurora's 100 and 101). */
export function isSkipped({ type, flags }: LogEvent): boolean {
  const verdict = verdictOf(type);
  return verdict === 'skip' || (verdict === undefined && (flags & FLAG_IGNORABLE) !== 0);
}

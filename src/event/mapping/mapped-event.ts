import type { ClinicZone } from '../../change/clinic-zone.ts';
import { parseExactJson } from '../../lib/exact-json.ts';
import type { Change } from '../../change/types.ts';
import { jsonText } from '../../change/values.ts';
import { renderBody } from '../body.ts';
import { eventId, idPart } from '../event-id.ts';
import type { DomainEvent, MapContext } from '../types.ts';
import type { JsonValue } from '../../lib/exact-json.ts';

/** A rule that fired. */
export interface Fired {
  type: string;
  change: Change;
  key: string;
  /** JSON text. */
  data: string;
  /** JSON text of a value that names the patient. */
  subject: string;
}

/** Values shared by the events of one transaction. */
export interface Origin {
  context: Pick<MapContext, 'committedAtMs'>;
  /** ISO 8601 in UTC. */
  commitTime: string;
  /** The first part of every event id. */
  idPart: string;
  zone: ClinicZone;
}

/** The payload is stored as text, and parsed only for webhooks that filter or select by its fields. */
export class MappedEvent implements DomainEvent {
  readonly id: string;
  readonly type: string;
  readonly occurredAtMs: number;
  readonly entity: { table: string; key: string };
  readonly rowKey: string;
  readonly subject: string | null;
  readonly body: string;
  readLate: readonly string[] = [];
  readonly #change: Change;
  readonly #zone: ClinicZone;
  readonly #dataText: string;
  #data: Readonly<Record<string, JsonValue>> | undefined;

  constructor(
    { type, change, key, data, subject }: Fired,
    { context, commitTime, idPart: transaction, zone }: Origin,
  ) {
    const { name } = change.table;
    const row = idPart(name, change.key, String(change.ordinal));
    this.id = eventId(transaction, row, idPart(type));
    this.type = type;
    this.occurredAtMs = context.committedAtMs;
    this.entity = { table: name, key };
    this.rowKey = change.key;
    this.subject = subjectText(subject);
    this.body = renderBody(type, commitTime, data);
    this.#change = change;
    this.#zone = zone;
    this.#dataText = data;
  }

  get data(): Readonly<Record<string, JsonValue>> {
    return (this.#data ??= parseExactJson(this.#dataText) as Record<string, JsonValue>);
  }

  column(name: string): JsonValue {
    const { table, before, after } = this.#change;
    const index = table.indexOf.get(name.toLowerCase());
    if (index === undefined) return undefined;
    return parseExactJson(jsonText(table.columns[index]!.kind, this.#zone)((after ?? before)?.[index]));
  }
}

function subjectText(json: string): string | null {
  if (json === 'null') return null;
  return json.startsWith('"') ? (JSON.parse(json) as string) : json;
}

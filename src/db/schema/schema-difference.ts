/** Where the store differs from what the migrations make. */
export interface SchemaDifference {
  /**
   * `refuse`: it can lose, alter or refuse rows, or statements need what is missing. `fail`: it shows people other than the rows. `warn`: it
   * does no harm that is known.
   */
  level: 'refuse' | 'fail' | 'warn';
  kind: 'deleted' | 'edited' | 'inserted';
  /** A clause without an end: `the column audit_log.mark was dropped`. */
  message: string;
  isIndex?: true;
  /** The column that it is about. */
  column?: string;
  remedy: string;
}

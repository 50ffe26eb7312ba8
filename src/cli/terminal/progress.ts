/** A progress bar on standard error during a long operation; nothing if standard error is not a terminal. */
export interface Progress {
  update(done: number, total: number): void;
  /** Clears the line. */
  end(): void;
}

const width = 30;

export function createProgress(label: string): Progress {
  const { stderr } = process;
  let shown = '';
  return {
    update(done, total) {
      if (!stderr.isTTY) return;
      const part = total === 0 ? 1 : Math.min(1, done / total);
      const full = Math.round(part * width);
      const bar = '█'.repeat(full) + '░'.repeat(width - full);
      const counts = `${Math.floor(done)} of ${Math.floor(total)}`;
      const line = `${label} ${bar} ${Math.floor(part * 100)} % (${counts})`;
      if (line !== shown) stderr.write(`\r${line}\u001b[K`);
      shown = line;
    },
    end() {
      if (shown !== '') stderr.write('\r\u001b[K');
      shown = '';
    },
  };
}

/** A bar on standard error while something long is under way; nothing where that is no terminal. */
export interface Progress {
  update(done: number, total: number): void;
  /** Clears the line. */
  end(): void;
}

const width = 30;

export function createProgress(label: string): Progress {
  const { stderr } = process;
  if (!stderr.isTTY) return { update: () => undefined, end: () => undefined };
  let shown = -1;
  return {
    update(done, total) {
      const percent = total === 0 ? 100 : Math.floor((done / total) * 100);
      if (percent === shown) return;
      shown = percent;
      const full = Math.round((percent / 100) * width);
      stderr.write(
        `\r${label} ${'█'.repeat(full)}${'░'.repeat(width - full)} ${percent} % (${done} of ${total})`,
      );
    },
    end: () => void stderr.write('\r\u001b[K'),
  };
}

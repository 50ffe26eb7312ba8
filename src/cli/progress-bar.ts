/** A line on the terminal that is written over; silent where standard error is none. */
export interface ProgressBar {
  show(progress: { bytes: number; ofBytes: number }): void;
  /** Takes the line away. */
  end(): void;
}

const width = 30;

export function createProgressBar(title: string, stream: NodeJS.WriteStream = process.stderr): ProgressBar {
  let shown = '';
  return {
    show({ bytes, ofBytes }) {
      if (!stream.isTTY) return;
      const part = ofBytes === 0 ? 1 : Math.min(1, bytes / ofBytes);
      const done = Math.round(part * width);
      const line = `${title} ${'█'.repeat(done)}${'░'.repeat(width - done)} ${Math.floor(part * 100)} %`;
      if (line !== shown) stream.write(`\r${line}`);
      shown = line;
    },
    end() {
      if (shown !== '') stream.write('\r\u001b[2K');
      shown = '';
    },
  };
}

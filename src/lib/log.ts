import { pino } from 'pino';
import { codeOf } from './errors.ts';
import { escapeJson, escapeJsonTwice } from './terminal-text.ts';

export type LogLevel = 'debug' | 'info' | 'warn' | 'error' | 'silent';

/** The log of every room. Fields are names and numbers, never values of rows. */
export interface Log {
  debug(fields: object, message: string): void;
  info(fields: object, message: string): void;
  warn(fields: object, message: string): void;
  error(fields: object, message: string): void;
  child(fields: object): Log;
}

export interface LogStream {
  write(line: string): void;
}

/** A JSON line logger on the given stream (default: standard output). */
export function createLog(level: LogLevel, stream: LogStream = pino.destination(1)): Log {
  return pino(
    {
      level,
      base: null,
      timestamp: pino.stdTimeFunctions.isoTime,
      formatters: { level: (label: string) => ({ level: label }) },
    },
    stream,
  );
}

/** Maximum number of lines that wait while the disk is full. Further lines are dropped, so that a full disk neither stops the daemon nor fills its memory. */
const MAX_WAITING_BYTES = 1024 * 1024;

export interface LogOutputOptions {
  /** Called at each failed write after the reader of the output has gone: a closed pipe, a terminal that hung up. */
  onClosed(): void;
}

/** Standard output for the log of a daemon: JSON lines, or on a terminal lines for a person, with the same fields. */
export async function openLogOutput({ onClosed }: LogOutputOptions): Promise<LogStream> {
  const output = pino.destination({ dest: 1, sync: true, maxLength: MAX_WAITING_BYTES });
  output.on('error', (error) => {
    if (['EPIPE', 'EIO'].includes(codeOf(error) ?? '')) onClosed();
  });
  if (!process.stdout.isTTY) return { write: (line) => void output.write(escapeJson(line)) };
  const { prettyFactory } = await import('pino-pretty');
  const toLine = prettyFactory({
    colorize: process.stdout.hasColors(),
    translateTime: 'SYS:yyyy-mm-dd HH:MM:ss.l',
    singleLine: true,
  });
  return { write: (line) => void output.write(toLine(escapeJsonTwice(line)) ?? escapeJson(line)) };
}

/**
 * A log that writes nothing.
 * @internal
 */
export const silentLog: Log = createLog('silent', { write: () => undefined });

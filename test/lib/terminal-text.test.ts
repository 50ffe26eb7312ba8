import { describe, expect, it } from 'vitest';
import { escapeControls, escapeJson, escapeJsonTwice, escapeLine } from '../../src/lib/terminal-text.ts';

/** What a terminal obeys or does not show, by Unicode's own classes: but for line ends and tabs. */
const dangerous = /[\p{Cc}\p{Bidi_Control}\p{Cs}\u2028\u2029\ufeff\u200b]/u;

const every = Array.from({ length: 0x11_0000 }, (_, point) => String.fromCodePoint(point));

describe('text for a terminal', () => {
  it('has no control of any kind left, of all characters there are', () => {
    const text = escapeControls(every.join(' ')).replaceAll(/[\n\t]/g, '');
    expect(dangerous.exec(text)).toBeNull();
    expect(dangerous.exec(escapeLine(every.join(' ')))).toBeNull();
  });

  it('keeps what people write', () => {
    const written = 'Clínica Peña: 牙科 😷 👩‍⚕️ a\tb\nc ñ עברית العربية';
    expect(escapeControls(written)).toBe(written);
    expect(escapeLine('a\tb\nc')).toBe('a\\u0009b\\u000ac');
    expect(escapeControls('\u001b]8;;https://evil\u0007x \u202eevil \u009b2J \u007f \u{e0041} \ud800')).toBe(
      '\\u001b]8;;https://evil\\u0007x \\u202eevil \\u009b2J \\u007f \\u{e0041} \\ud800',
    );
  });

  it('means the same as JSON, or shows the escapes once it is parsed', () => {
    const value = { [`k\u009b`]: ['\u001b[2J', '\\u001b', '\\', '"\n\t/', '\u{e0041}', 'ñ\u2028'] };
    const json = escapeJson(JSON.stringify(value));
    expect(dangerous.exec(json)).toBeNull();
    expect(JSON.parse(json)).toEqual(value);
    expect(JSON.parse(escapeJsonTwice(JSON.stringify(value)))).toEqual({
      'k\\u009b': ['\\u001b[2J', '\\u001b', '\\', '"\n\t/', '\\udb40\\udc41', 'ñ\\u2028'],
    });
  });
});

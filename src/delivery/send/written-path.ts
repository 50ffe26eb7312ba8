/** Path and query of a URL as they are sent, or the problem of their text. */
export type WrittenPath = { path: string } | { problem: string };

/** Everything after the authority, up to a fragment. */
const form = /^https?:\/\/[^/?#]*([^#]*)(#?)/i;
/** What RFC 3986 (sections 3.3 and 3.4) allows in a path and a query, percent signs apart. */
const notAllowed = /[^A-Za-z0-9\-._~!$&'()*+,;=:@/?%]/u;
const brokenPercent = /%(?![0-9A-Fa-f]{2})/;
/** `.` and `..` between slashes, also with their dots percent-encoded: a URL parser resolves them. */
const dotSegment = /(?:^|\/)(?:\.|%2e){1,2}(?=\/|$)/i;

/**
 * Takes path and query from the text of a URL: they are sent byte for byte as written, because a receiver may compare or sign
 * them, while a URL parser would rewrite them (drop a lone `?`, resolve `/../`, encode `{`). Text that HTTP cannot carry unchanged is a problem, reported
 * with a correction. Neither quotes more of the URL than the character, because a path may contain a key.
 */
export function writtenPath(text: string): WrittenPath {
  const [, written, fragment] = form.exec(text) ?? [];
  if (written === undefined) return { problem: 'the URL must begin with https:// and a host name' };
  if (fragment !== '') return { problem: 'the URL has a #fragment, which is never sent: remove it' };
  const [character] = notAllowed.exec(written) ?? [];
  if (character !== undefined) {
    return {
      problem: `the path of the URL has ${character}: write ${encodeURIComponent(character)} instead`,
    };
  }
  if (brokenPercent.test(written)) {
    return { problem: 'the path of the URL has a % that encodes no character: write %25 instead' };
  }
  if (dotSegment.test(written.split('?', 1)[0]!)) {
    return { problem: 'the path of the URL has a part that is . or ..: write the path that is meant' };
  }
  return { path: written.startsWith('/') ? written : `/${written}` };
}

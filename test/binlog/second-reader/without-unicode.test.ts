import { join } from 'node:path';
import { beforeAll, describe, expect, it } from 'vitest';
import { textDecoder } from '../../../src/binlog/decode/charset.ts';
import { multiByteSets } from '../../../src/binlog/decode/charset/multi-byte-sets.ts';
import { singleByteSets } from '../../../src/binlog/decode/charset/single-byte-sets.ts';
import { explainDisagreement } from '../../../src/binlog/second-reader/misreadings.ts';
import { undecodedCharsets } from '../../../src/binlog/second-reader/zongji-charsets.ts';

type ReadAsZongji = (bytes: Buffer, charset: string) => unknown;

const upTo = (end: number): number[] => Array.from({ length: end }, (_, i) => i);

/** Every code of which our decoder, which a test ties to the servers, says that it has no character in Unicode. */
function codesWithoutUnicode(charset: string): Buffer[] {
  const set = multiByteSets[charset];
  const isLead = (byte: number): boolean =>
    set?.leads.some(([from, to]) => byte >= from && byte <= to) ?? false;
  const one = upTo(0x100).filter((byte) => byte !== 0x3f && !(set && byte >= 0x80));
  const two = upTo(set ? 0x1_0000 : 0).filter((code) => isLead(code >> 8));
  const three = upTo(set?.longer === 'euc' ? 0x1_0000 : 0).filter((code) => (code & 0x8080) === 0x8080);
  const all = [
    ...one.map((byte) => [byte]),
    ...two.map((code) => [code >> 8, code & 0xff]),
    ...three.map((code) => [0x8f, code >> 8, code & 0xff]),
  ].map((bytes) => Buffer.from(bytes));
  const decode = textDecoder(charset)!;
  return all.filter((bytes) => decode(bytes) === '?');
}

/** Every character set of both servers that is not Unicode, and that zongji decodes. */
const charsets = [...Object.keys(singleByteSets), ...Object.keys(multiByteSets)].filter(
  (name) => !undecodedCharsets.includes(name),
);

/** What a server stores for あ, or ñ, or б: two bytes that zongji may tear apart. */
const neighbours: Readonly<Record<string, string>> = {
  big5: 'a440',
  cp932: '82a0',
  eucjpms: 'a4a2',
  euckr: 'b0a1',
  gb18030: 'a4a2',
  gb2312: 'a4a2',
  gbk: 'a4a2',
  sjis: '82a0',
  ujis: 'a4a2',
};

describe.each(charsets)('codes of %s without a character in Unicode', (charset) => {
  let readAsZongji: ReadAsZongji;
  beforeAll(async () => {
    // Zongji does not export its decoder.
    const file = join(import.meta.dirname, '../../../node_modules/@vlasky/zongji/lib/common.js');
    ({ decodeTextColumn: readAsZongji } = (await import(file)) as { decodeTextColumn: ReadAsZongji });
  });
  const codes = codesWithoutUnicode(charset);
  const decode = textDecoder(charset)!;
  const neighbour = Buffer.from(neighbours[charset] ?? '61', 'hex');
  const ascii = Buffer.from('a');
  const explain = (ours: string, theirs: unknown): string | undefined =>
    explainDisagreement({
      kind: 'text',
      column: { name: 'v', type: 'varchar(20)', charset },
      charset,
      ours,
      theirs,
    });

  it('are no difference, whatever stands beside them', () => {
    const unexplained: string[] = [];
    const texts = codes.flatMap((code, i) => [
      code,
      Buffer.concat([ascii, code, ascii, code]),
      Buffer.concat([neighbour, code, neighbour, neighbour, ascii]),
      // Slow where the second one is torn apart: 94 beginnings with thousands of codes each.
      ...(i % 101 === 0 ? [Buffer.concat([code, code, neighbour])] : []),
    ]);
    for (const bytes of texts) {
      const [ours, theirs] = [decode(bytes), readAsZongji(bytes, charset)];
      if (ours !== theirs && explain(ours, theirs) === undefined) unexplained.push(bytes.toString('hex'));
    }
    expect(unexplained).toEqual([]);
  });

  it('do not hide a difference in the rest of the text', () => {
    const hidden: string[] = [];
    for (const code of codes) {
      const bytes = Buffer.concat([ascii, code, Buffer.from(' a')]);
      const [ours, theirs] = [decode(bytes), String(readAsZongji(bytes, charset))];
      for (const other of [
        theirs.replace('a', 'b'),
        `${theirs.slice(0, -1)}b`,
        `${theirs}b`,
        theirs.slice(0, -1),
      ])
        if (explain(ours, other) !== undefined) hidden.push(bytes.toString('hex'));
    }
    expect(hidden).toEqual([]);
  });
});

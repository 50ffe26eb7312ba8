import { GtidSet, MariadbGtidPosition } from '@vlasky/zongji';
import { describe, expect, it } from 'vitest';
import { countGtids, formatGtidSet, joinGtidSets, parseGtidSet } from '../../src/binlog/gtid/gtid-set.ts';
import { createGtidTracker, formatMariadbGtid, parseMariadbGtids } from '../../src/binlog/gtid/gtid.ts';
import { containsPosition, readPassage } from '../../src/binlog/gtid/contains-position.ts';
import type { Flavour, Position } from '../../src/binlog/types.ts';

/** mulberry32: the same numbers at every run. */
function createRandom(seed: number): (below: number) => number {
  let state = seed;
  return (below) => {
    state = (state + 0x6d2b79f5) | 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) % below;
  };
}

const uuids = ['3e11fa47-71ca-11e1-9e33-c80aa9429562', '3E11FA47-71CA-11E1-9E33-C80AA9429563'];
const tags = ['', '', 'nightly', 'Backup_2'];
const bases = [0n, 2n ** 53n, 2n ** 63n - 60n];

type Pick = (below: number) => number;

function randomInterval(pick: Pick): string {
  const first = bases[pick(bases.length)]! + BigInt(1 + pick(30));
  return pick(3) === 0 ? `${first}` : `${first}-${first + BigInt(pick(20))}`;
}

/** Overlapping and touching intervals in any order, tags, and blanks and line ends as servers print them. */
function randomSet(pick: Pick): string {
  const groups = Array.from({ length: pick(4) }, () => {
    const parts = Array.from({ length: 1 + pick(3) }, () => {
      const tag = tags[pick(tags.length)]!;
      return [
        ...(tag === '' ? [] : [tag]),
        ...Array.from({ length: 1 + pick(3) }, () => randomInterval(pick)),
      ];
    });
    return [uuids[pick(uuids.length)]!, ...parts.flat()].join(':');
  });
  return groups.join([',', ',\n', ', '][pick(3)]);
}

function randomGtid(pick: Pick): string {
  const tag = tags[pick(tags.length)]!.toLowerCase();
  const number = bases[pick(bases.length)]! + BigInt(1 + pick(40));
  return [uuids[pick(uuids.length)]!.toLowerCase(), ...(tag === '' ? [] : [tag]), number].join(':');
}

const at = (gtid: string): Position => ({ gtid, file: 'binlog.000001', offset: 4 });
const passed = (gtid: string, flavour: Flavour, id: string): Promise<boolean> =>
  containsPosition(at(gtid), flavour, id);

describe('GTID sets of ours and of zongji', () => {
  it('print the same text, and contain the same transactions', async () => {
    const pick = createRandom(14);
    let contained = 0;
    for (let i = 0; i < 2_000; i += 1) {
      const text = randomSet(pick);
      const ours = parseGtidSet(text);
      expect(formatGtidSet(ours)).toBe(GtidSet.parse(text).toString());
      const gtid = randomGtid(pick);
      const isIn = countGtids(joinGtidSets(ours, parseGtidSet(gtid))) === countGtids(ours);
      expect(await passed(text, 'mysql', gtid)).toBe(isIn);
      contained += Number(isIn);
    }
    expect(contained).toBeGreaterThan(50);
  });

  it('grow alike, transaction by transaction', () => {
    const pick = createRandom(83);
    for (let i = 0; i < 100; i += 1) {
      const text = randomSet(pick);
      const ours = createGtidTracker('mysql', text);
      const theirs = GtidSet.parse(text);
      for (let n = 0; n < 20; n += 1) {
        const gtid = randomGtid(pick);
        ours.add(gtid);
        theirs.add(gtid);
        expect(ours.toString()).toBe(theirs.toString());
      }
    }
  });

  it('differ where zongji refuses what servers accept: hence the parser of our own', () => {
    const uuid = uuids[0]!;
    for (const text of [`${uuid.replaceAll('-', '')}:1`, `${uuid}:5-3`, `${uuid}:1,`]) {
      expect(() => parseGtidSet(text)).not.toThrow();
      expect(() => GtidSet.parse(text)).toThrow(/Invalid GTID/);
    }
    expect(() => MariadbGtidPosition.parse('0-1-5,0-2-7')).toThrow(/Duplicate/);
    expect(parseMariadbGtids('0-1-5,0-2-7')).toHaveLength(2);
  });
});

describe('MariaDB positions of ours and of zongji', () => {
  it('name the same transactions', async () => {
    const pick = createRandom(1_011);
    let covered = 0;
    for (let i = 0; i < 2_000; i += 1) {
      const gtids = Array.from({ length: pick(5) }, (_, domain) =>
        [domain * 1_000_000_000, 1 + pick(2), bases[pick(bases.length)]! * 2n + BigInt(1 + pick(20))].join(
          '-',
        ),
      );
      const text = gtids.join([',', ', ', ',\n'][pick(3)]);
      const ours = parseMariadbGtids(text);
      expect(ours.map(formatMariadbGtid).join(',')).toBe(MariadbGtidPosition.parse(text).toString());
      const [domain, server] = [pick(5) * 1_000_000_000, 1 + pick(2)];
      const sequence = bases[pick(bases.length)]! * 2n + BigInt(1 + pick(20));
      const isCovered = ours.some(
        (last) => last.domain === domain && last.server === server && last.sequence >= sequence,
      );
      expect(await passed(text, 'mariadb', `${domain}-${server}-${sequence}`)).toBe(isCovered);
      covered += Number(isCovered);
    }
    expect(covered).toBeGreaterThan(100);
  });

  it('keep a transaction of another server id before them, whatever its number', async () => {
    expect(await passed('0-1-100', 'mariadb', '0-2-50')).toBe(false);
    expect(await passed('0-1-100', 'mariadb', '0-1-100')).toBe(true);
    expect(await passed('', 'mariadb', '0-1-1')).toBe(false);
    expect(await passed('', 'mysql', `${uuids[0]!}:1`)).toBe(false);
  });
});

describe('a transaction seen from a position', () => {
  it.each([
    ['mariadb', '0-2-150', '0-2-150', 'passed'],
    ['mariadb', '0-2-150', '0-2-151', 'ahead'],
    ['mariadb', '0-2-150', '0-1-150', 'unclear'],
    ['mariadb', '0-2-150', '0-1-3', 'unclear'],
    ['mariadb', '0-2-150', '0-1-151', 'ahead'],
    ['mariadb', '0-2-150,1-1-9', '1-1-9', 'passed'],
    ['mariadb', '0-2-150', '1-2-1', 'ahead'],
    ['mariadb', '', '0-1-1', 'ahead'],
    ['mariadb', '0-2-150', 'binlog.000009:4', 'ahead'],
    ['mysql', `${uuids[0]!.toLowerCase()}:1-5`, `${uuids[0]!.toLowerCase()}:5`, 'passed'],
    ['mysql', `${uuids[0]!.toLowerCase()}:1-5`, `${uuids[0]!.toLowerCase()}:6`, 'ahead'],
  ] as const)('on %s at %s: %s is %s', async (flavour, gtid, id, passage) => {
    expect(await readPassage(at(gtid), flavour, id)).toBe(passage);
  });
});

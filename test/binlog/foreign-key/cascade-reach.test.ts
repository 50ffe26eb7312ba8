import { describe, expect, it } from 'vitest';
import { CascadeReach } from '../../../src/binlog/foreign-key/cascade-reach.ts';
import { parseForeignKeys } from '../../../src/binlog/foreign-key/foreign-key.ts';
import { tableKey, type KeyGraph } from '../../../src/binlog/foreign-key/read-keys.ts';
import { createTrigger, triggerName } from '../../../src/binlog/foreign-key/trigger-script.ts';

/** The graph of tables with these clauses. */
function graphOf(clauses: Record<string, string[]>): KeyGraph {
  return Object.fromEntries(
    Object.entries(clauses).map(([table, keys]) => {
      const text = keys.map((key, index) => `  CONSTRAINT \`k${index}\` FOREIGN KEY ${key}`).join(',\n');
      const name = { schema: 's', table };
      return [tableKey(name, false), { ...name, rowEnd: null, keys: parseForeignKeys(name, text) }];
    }),
  );
}

const reachOf = (clauses: Record<string, string[]>, ...watched: string[]): CascadeReach =>
  new CascadeReach(graphOf(clauses), new Set(watched.map((table) => `s.${table}`)), false);

describe('foreign keys of a definition', () => {
  it('are read with odd names, several columns and every action', () => {
    const text = [
      'CREATE TABLE `t` (',
      "  `a` int(11) NOT NULL COMMENT 'CONSTRAINT `c0` FOREIGN KEY (`a`) REFERENCES `p` (`id`) ON DELETE CASCADE',",
      '  CONSTRAINT `c1` FOREIGN KEY (`a`) REFERENCES `p` (`id`),',
      '  CONSTRAINT `c2` FOREIGN KEY (`a`, `b``c`) REFERENCES `other`.`p q` (`x`, `y`) ON DELETE SET NULL ON UPDATE CASCADE,',
      '  CONSTRAINT `c``3` FOREIGN KEY (`d`) REFERENCES `p` (`id`) ON DELETE SET DEFAULT ON UPDATE NO ACTION',
      '  CONSTRAINT `c4` FOREIGN KEY (`b`c`, `d`) REFERENCES `p` (`y`z`, `x`) ON DELETE CASCADE',
      ') ENGINE=InnoDB',
    ].join('\n');
    const child = { schema: 's', table: 't' };
    expect(parseForeignKeys(child, text)).toEqual([
      {
        name: 'c1',
        child,
        columns: ['a'],
        parent: { schema: 's', table: 'p' },
        referenced: ['id'],
        onDelete: null,
        onUpdate: null,
      },
      {
        name: 'c2',
        child,
        columns: ['a', 'b`c'],
        parent: { schema: 'other', table: 'p q' },
        referenced: ['x', 'y'],
        onDelete: 'set null',
        onUpdate: 'cascade',
      },
      {
        name: 'c`3',
        child,
        columns: ['d'],
        parent: { schema: 's', table: 'p' },
        referenced: ['id'],
        // InnoDB takes SET DEFAULT as RESTRICT.
        onDelete: null,
        onUpdate: null,
      },
      {
        // As MariaDB 10.11 prints it.
        name: 'c4',
        child,
        columns: ['b`c', 'd'],
        parent: { schema: 's', table: 'p' },
        referenced: ['y`z', 'x'],
        onDelete: 'cascade',
        onUpdate: null,
      },
    ]);
  });
});

describe('what a cascade reaches', () => {
  const clinic = {
    middle: ['(`p_id`) REFERENCES `p` (`id`) ON DELETE CASCADE ON UPDATE CASCADE'],
    child: ['(`m_id`) REFERENCES `middle` (`id`) ON DELETE SET NULL'],
    note: ['(`m_p`) REFERENCES `middle` (`p_id`) ON DELETE RESTRICT ON UPDATE CASCADE'],
    tree: ['(`up`) REFERENCES `tree` (`id`) ON DELETE CASCADE'],
  };

  it('is a watched table, through tables that are not watched', () => {
    const reach = reachOf(clinic, 'child', 'note', 'tree');
    expect([...reach.reached('s.p', 'delete')]).toEqual(['s.child']);
    expect([...reach.reached('s.p', new Set(['id']))]).toEqual(['s.note']);
    expect([...reach.reached('s.p', new Set(['name']))]).toEqual([]);
    expect([...reach.reached('s.tree', 'delete')]).toEqual(['s.tree']);
    expect(
      [...reach.parents()].map(([table, { deletes, columns }]) => [table, deletes, [...columns]]),
    ).toEqual([
      ['s.p', true, ['id']],
      ['s.middle', true, ['p_id']],
      ['s.tree', true, []],
    ]);
  });

  it('is nothing where no watched table is reached', () => {
    expect(reachOf(clinic).parents().size).toBe(0);
    expect(reachOf({ child: ['(`a`) REFERENCES `p` (`id`)'] }, 'child').parents().size).toBe(0);
  });

  it('ends at a trigger of the first level alone: what InnoDB changes fires none', () => {
    const reach = reachOf(clinic, 'child');
    const [upper, lower] = reach.keys();
    expect([upper, lower].map((key) => key?.child.table)).toEqual(['middle', 'child']);
    const only = (...keys: (typeof upper)[]): Set<string> => new Set(keys.map((key) => triggerName(key!)));
    expect(reach.reached('s.p', 'delete', only(upper)).size).toBe(0);
    expect(reach.reached('s.p', 'delete', only(lower)).size).toBe(1);
    expect(reach.reached('s.middle', 'delete', only(lower)).size).toBe(0);
  });

  it('comes again, without triggers, to a table that points to itself', () => {
    const reach = reachOf(
      {
        tree: ['(`up`) REFERENCES `tree` (`id`) ON DELETE CASCADE'],
        leaf: ['(`tree`) REFERENCES `tree` (`id`) ON DELETE CASCADE'],
      },
      'leaf',
    );
    const names = new Set(reach.keys().map(triggerName));
    const leafOnly = new Set([...names].filter((name) => name.includes('leaf')));
    expect([...reach.reached('s.tree', 'delete', leafOnly)]).toEqual(['s.leaf']);
    expect([...reach.reached('s.tree', 'delete', names)]).toEqual([]);
  });

  it('has a circle where keys lead back', () => {
    const reach = reachOf(
      {
        a: ['(`b`) REFERENCES `b` (`id`) ON DELETE CASCADE'],
        b: [
          '(`a`) REFERENCES `a` (`id`) ON DELETE SET NULL',
          '(`c`) REFERENCES `c` (`id`) ON DELETE CASCADE',
        ],
      },
      'a',
    );
    expect(reach.keys().map((key) => [key.child.table, key.parent.table, reach.isCircular(key)])).toEqual([
      ['a', 'b', true],
      ['b', 'c', false],
    ]);
  });
});

describe('a trigger in the place of a key', () => {
  const keyOf = (table: string, text: string) =>
    parseForeignKeys({ schema: 's', table }, `CONSTRAINT \`k\` FOREIGN KEY ${text}`)[0]!;

  it('has a name of at most 64 characters, the same for the same key alone', () => {
    const cascade = keyOf('á'.repeat(64), '(`a`) REFERENCES `p` (`id`) ON DELETE CASCADE');
    const setNull = keyOf('á'.repeat(64), '(`a`) REFERENCES `p` (`id`) ON DELETE SET NULL');
    expect(triggerName(cascade)).toMatch(/^odontology_webhooks_[a-z0-9_]{1,44}$/);
    expect(triggerName(cascade)).toBe(triggerName({ ...cascade, name: 'other' }));
    expect(triggerName(cascade)).not.toBe(triggerName(setNull));
  });

  it('quotes every name', () => {
    const key = keyOf('c`d', '(`a``b`, `c`) REFERENCES `o`.`p q` (`x`, `y``z`) ON DELETE SET NULL');
    expect(createTrigger(key)).toBe(
      `CREATE TRIGGER \`o\`.\`${triggerName(key)}\` BEFORE DELETE ON \`o\`.\`p q\` FOR EACH ROW\n` +
        '  UPDATE `s`.`c``d` SET `a``b` = NULL, `c` = NULL WHERE `a``b` = OLD.`x` AND `c` = OLD.`y``z`;',
    );
    expect(createTrigger({ ...key, onDelete: null })).toBeNull();
  });
});

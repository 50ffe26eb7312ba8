/**
 * The statement that sets a global variable for good, `value` as SQL has it. MariaDB has no SET PERSIST: there, and where the
 * server is not known, SET GLOBAL stands with a comment that has the line for my.cnf.
 */
export function setVariable(name: string, value: string | number, flavour?: 'mysql' | 'mariadb'): string {
  if (flavour === 'mysql') return `SET PERSIST ${name} = ${value};`;
  const inFile = String(value).replaceAll("'", '');
  return `SET GLOBAL ${name} = ${value}; -- and under [mysqld] in my.cnf: ${name} = ${inFile}`;
}

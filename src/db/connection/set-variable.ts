/**
 * Returns the statement that sets a global variable permanently, with `value` as SQL text. MariaDB has no SET PERSIST: there, and for an
 * unknown server, it is SET GLOBAL with a comment below it that has the line for my.cnf: each fits a terminal.
 */
export function setVariable(name: string, value: string | number, flavour?: 'mysql' | 'mariadb'): string {
  if (flavour === 'mysql') return `SET PERSIST ${name} = ${value};`;
  const inFile = String(value).replaceAll("'", '');
  return `SET GLOBAL ${name} = ${value};\n-- and under [mysqld] in my.cnf: ${name} = ${inFile}`;
}

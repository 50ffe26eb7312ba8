/**
 * The statement that sets a global variable for good, `value` as SQL has it. MariaDB has no SET PERSIST: there, and where the
 * server is not known, SET GLOBAL stands, and below it a comment that has the line for my.cnf: each fits a terminal.
 */
export function setVariable(name: string, value: string | number, flavour?: 'mysql' | 'mariadb'): string {
  if (flavour === 'mysql') return `SET PERSIST ${name} = ${value};`;
  const inFile = String(value).replaceAll("'", '');
  return `SET GLOBAL ${name} = ${value};\n-- and under [mysqld] in my.cnf: ${name} = ${inFile}`;
}

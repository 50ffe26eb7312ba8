/** `db.example.com:3306`; an IPv6 address in the brackets without which its port could not be told from it: `[::1]:3306`. */
export function hostPort({ host, port }: { host: string; port: number | string }): string {
  return `${host.includes(':') ? `[${host}]` : host}:${port}`;
}

/** Interval at which the daemon checks whether its parent is alive. */
const POLL_MS = 500;

/**
 * Calls back once when the npm process that started this one dies. npm starts a command through `sh -c`; SIGTERM ends npm and the
 * shell, and the shell does not pass the signal on. Without this, the daemon would outlive `npm run odontology-webhooks -- run`.
 * A daemon that npm did not start may outlive its parent (nohup, a supervisor that restarts), so its parent is not watched.
 */
export function watchParent(onDeath: () => void, env = process.env): Disposable {
  if (env['npm_command'] === undefined) return { [Symbol.dispose]: () => undefined };
  const parent = process.ppid;
  const timer = setInterval(() => {
    if (process.ppid === parent) return;
    clearInterval(timer);
    onDeath();
  }, POLL_MS);
  timer.unref();
  return { [Symbol.dispose]: () => clearInterval(timer) };
}

/** @throws Error unless `channel` can be spelled the same in LISTEN and in `pg_notify`. */
export function checkChannel(channel: string): void {
  if (!/^[a-z][a-z0-9_]{0,62}$/.test(channel)) throw new Error(`not a notification channel: ${channel}`);
}

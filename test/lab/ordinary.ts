import { stat } from "node:fs/promises";
import { dirname } from "node:path";

// In a private mount namespace: a device node of its own, since /dev/net/tun may be closed to ordinary users here and on
// most machines is open to all; and the wanted paths, which may lie below a closed folder such as root's home. Then the
// user's rights and no others.
const DROP = `
user=$1; shift
mount -t tmpfs -o mode=0755 tmpfs /mnt && mknod /mnt/tun c 10 200 && chmod $CLOUDVLAN_TUN_MODE /mnt/tun &&
mount --bind /mnt/tun /dev/net/tun && mkdir /mnt/home && chown "$user" /mnt/home || exit 70
held=0
for path in $CLOUDVLAN_VISIBLE; do
  held=$((held + 1)); mkdir /mnt/$held && mount --rbind "$path" /mnt/$held || exit 70
done
for folder in $CLOUDVLAN_CLOSED; do mount -t tmpfs -o mode=0755 tmpfs "$folder" || exit 70; done
held=0
for path in $CLOUDVLAN_VISIBLE; do
  held=$((held + 1)); mkdir -p "$path" && mount --rbind /mnt/$held "$path" || exit 70
done
exec setpriv --reuid "$user" --regid "$(id -g "$user")" --clear-groups env HOME=/mnt/home "$@"`;

/** The outermost folder on the way to a path that others may not enter. */
async function closedFolder(path: string): Promise<string | undefined> {
  const parent = dirname(path);
  if (parent === path) return undefined;
  return (await closedFolder(parent)) ?? (((await stat(parent)).mode & 0o001) === 0 ? parent : undefined);
}

/**
 * The command line by which root runs `argv` with the rights of an ordinary user.
 * @param visible folders that the user must reach, without spaces in their names
 * @param tun whether /dev/net/tun is open to the user
 */
export async function asOrdinaryUser(
  argv: readonly string[],
  visible: readonly string[],
  tun: "open" | "closed" = "open",
): Promise<string[]> {
  const closed = new Set<string>();
  for (const path of visible) {
    const folder = await closedFolder(path);
    if (folder !== undefined) closed.add(folder);
  }
  const env = [`CLOUDVLAN_VISIBLE=${visible.join(" ")}`, `CLOUDVLAN_CLOSED=${[...closed].join(" ")}`];
  env.push(`CLOUDVLAN_TUN_MODE=${tun === "open" ? "0666" : "0600"}`);
  return ["env", ...env, "unshare", "--mount", "--", "sh", "-c", DROP, "sh", "nobody", ...argv];
}

// A device node of its own in a private mount namespace: /dev/net/tun may be closed to ordinary users here, on most
// machines it is open to all. Then the user's rights and no others.
const DROP = `
mount -t tmpfs -o mode=0755 tmpfs /mnt && mknod /mnt/tun c 10 200 && chmod 0666 /mnt/tun &&
mount --bind /mnt/tun /dev/net/tun && mkdir /mnt/home && chown "$1" /mnt/home || exit 70
user=$1; shift
exec setpriv --reuid "$user" --regid "$(id -g "$user")" --clear-groups env HOME=/mnt/home "$@"`;

/** The command line by which root runs `argv` with the rights of an ordinary user. */
export function asOrdinaryUser(argv: readonly string[], user = "nobody"): string[] {
  return ["unshare", "--mount", "--", "sh", "-c", DROP, "sh", user, ...argv];
}

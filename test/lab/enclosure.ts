/** A private corner of the machine for a lab: what runs in it dies with it, whatever kills whom. */
export interface EnclosureOptions {
  /** Own network namespace: nothing of the machine's network is seen or changed. Without root it is always so. */
  readonly net: boolean;
  /**
   * Who runs in there: `root` stays root; an ordinary user becomes root of a user namespace (`mapped-root`), or stays the
   * same user with all capabilities over the new namespaces (`same-user`), for programs that refuse to run as root.
   */
  readonly as: "root" | "mapped-root" | "same-user";
}

const USER_NAMESPACE: Readonly<Record<EnclosureOptions["as"], readonly string[]>> = {
  root: [],
  "mapped-root": ["--user", "--map-root-user"],
  "same-user": ["--user", "--map-current-user", "--keep-caps"],
};

// PID 1 of the enclosure: a shell, which reaps orphans and waits for the command. It reads its own process id in the
// outer PID namespace before /proc is replaced: that id is what `nsenter` from outside needs.
const INIT = `
read -r CLOUDVLAN_ENCLOSURE _ </proc/self/stat && export CLOUDVLAN_ENCLOSURE &&
mount -t proc proc /proc && mount -t tmpfs -o mode=0755 tmpfs /run && ip link set lo up || exit 70
"$@"
exit $?`;

/**
 * The command line that runs `argv` in new PID and mount namespaces with an empty /run, where `ip netns` keeps its names.
 * The kernel ends everything in there when the process that started it ends.
 */
export function enclosed(argv: readonly string[], options: EnclosureOptions): string[] {
  const namespaces = [...USER_NAMESPACE[options.as], "--mount", "--pid"];
  if (options.net || options.as !== "root") namespaces.push("--net");
  return ["unshare", ...namespaces, "--fork", "--kill-child", "--", "sh", "-c", INIT, "sh", ...argv];
}

/**
 * The command line that opens a shell in a namespace of an enclosure, from outside of it.
 * @param enclosure process id of its PID 1 as seen outside: `CLOUDVLAN_ENCLOSURE` inside
 */
export function shellCommand(enclosure: string, namespace: string, root: boolean): string {
  const user = root ? "" : "--user --preserve-credentials ";
  return `nsenter --target ${enclosure} ${user}--mount --pid nsenter --net=/run/netns/${namespace} \${SHELL:-sh}`;
}

import type { Lab } from "@cloudvlan/test/lab";

/**
 * Counts the bytes of all IPv4 packets that a machine sent and received since it was made, with their headers. The
 * kernel's own counters: what a link adds, as its frames and ARP, is not among them.
 */
export async function passed(lab: Lab, node: string): Promise<number> {
  const { stdout } = await lab.exec(node, ["cat", "/proc/net/netstat"]);
  const [names = [], values = []] = stdout
    .split("\n")
    .filter((line) => line.startsWith("IpExt:"))
    .map((line) => line.split(/\s+/));
  const counter = (name: string): number => {
    const value = Number(values[names.indexOf(name)]);
    if (Number.isNaN(value)) throw new Error(`the kernel of ${node} does not count ${name}`);
    return value;
  };
  return counter("InOctets") + counter("OutOctets");
}

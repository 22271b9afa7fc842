import { parseArgs } from "node:util";
import { systemClock } from "@cloudvlan/kit/clock";
import { isId, newId } from "@cloudvlan/kit/ids";
import { initCa } from "./init.ts";

const USAGE = `usage: cloudvlan-init-ca --dir DIR --name NAME [--name NAME …] [--address HOST:PORT] [--cluster ID]

Makes the certificate authority of a new installation in an empty folder: root and intermediate with their keys, a
provisioner, ca.json for step-ca. Prints the cluster id, which goes into the configuration of the control plane.
NAMEs are DNS names and addresses at which step-ca is reached. The root's key (root.key) is not needed to run: keep it offline.
`;

/** Arguments of one run. @throws Error that says what is missing. */
function parse(argv: readonly string[]) {
  const { values } = parseArgs({
    args: [...argv],
    strict: true,
    options: {
      dir: { type: "string" },
      name: { type: "string", multiple: true },
      address: { type: "string", default: "0.0.0.0:9000" },
      cluster: { type: "string" },
    },
  });
  const { dir, name: names, address, cluster } = values;
  if (dir === undefined) throw new Error("--dir: name an empty folder");
  if (names === undefined) throw new Error("--name: name at least one DNS name or address of the CA");
  if (cluster !== undefined && !isId("cluster", cluster)) throw new Error("--cluster: must be cluster_<uuid>");
  return { dir, names, address, clusterId: cluster ?? newId("cluster", systemClock.nowMs()) };
}

try {
  const { dir, ...settings } = parse(process.argv.slice(2));
  await initCa(dir, settings);
  process.stdout.write(`${settings.clusterId}\n`);
} catch (error) {
  process.stderr.write(`cloudvlan-init-ca: ${error instanceof Error ? error.message : String(error)}\n\n${USAGE}`);
  process.exitCode = 64;
}

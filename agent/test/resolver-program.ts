// Sets the resolver of a host and puts it back, again and again, until it is killed.
import { applyFile } from "../resolver/file.ts";
import { restoreHost } from "../resolver/restore.ts";

const [path = "", state = ""] = process.argv.slice(2);
const file = { path, state, mark: "# cvlan-agent node_1" };
process.stdout.write("up\n");
for (let round = 0; ; round += 1) {
  await applyFile(file, { server: "127.83.1.2", domain: `d${round}.internal` }, () => undefined);
  if (round % 2 === 1) await restoreHost(state, path);
}

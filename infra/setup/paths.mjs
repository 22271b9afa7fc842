import { homedir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

/** Root of the clone. */
export const root = fileURLToPath(new URL("../..", import.meta.url)).replace(/\/$/, "");

/** What is built once for all clones of this user (XDG Base Directory). */
export const cache = join(process.env.XDG_CACHE_HOME || join(homedir(), ".cache"), "cloudvlan");

/** The pinned Node, an npm package of this platform. */
export const pinnedNode = join(root, "node_modules", `node-linux-${process.arch}`, "bin", "node");

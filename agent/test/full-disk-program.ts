// Runs in a mount namespace of its own: replaces a file on a disk that has no room for it.
import { execFileSync } from "node:child_process";
import { readdir } from "node:fs/promises";
import { readPrivate, writeWhole } from "../state/files.ts";
import { reasonOf } from "../state/problems.ts";

execFileSync("mount", ["-t", "tmpfs", "-o", "size=64k", "tmpfs", "/mnt"]);
await writeWhole("/mnt/file", "before");
const reason = await writeWhole("/mnt/file", "x".repeat(200_000)).then(() => "written", reasonOf);
console.log(JSON.stringify({ reason, content: await readPrivate("/mnt/file"), files: await readdir("/mnt") }));

import { createHash } from "node:crypto";
import { existsSync } from "node:fs";
import { mkdir, readFile, rename } from "node:fs/promises";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { must } from "@cloudvlan/test/lab";

const MODULE = "golang.zx2c4.com/wireguard";
const source = fileURLToPath(new URL(".", import.meta.url));

/**
 * The reference implementation in Go, built once from the module that go.sum pins. Go must have the modules or a way to
 * fetch them.
 * @returns path of the program
 */
export async function wireguardGo(cache: string): Promise<string> {
  const hash = createHash("sha256");
  for (const name of ["go.mod", "go.sum"]) hash.update(await readFile(join(source, name)));
  hash.update(await must(["go", "version"], { cwd: source }));
  const binary = join(cache, "wireguard-go", hash.digest("hex").slice(0, 16), "wireguard-go");
  if (existsSync(binary)) return binary;
  await mkdir(dirname(binary), { recursive: true });
  const partial = `${binary}.${process.pid}`;
  const argv = [
    "go",
    "build",
    "-mod=readonly",
    "-trimpath",
    "-buildvcs=false",
    "-ldflags=-s -w",
    "-o",
    partial,
    MODULE,
  ];
  await must(argv, { cwd: source, env: { ...process.env, CGO_ENABLED: "0", GOFLAGS: "" } });
  await rename(partial, binary);
  return binary;
}

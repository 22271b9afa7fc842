import { execFileSync, spawn } from "node:child_process";
import { createHash } from "node:crypto";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import type { JsonValue } from "@bufbuild/protobuf";
import type { ForeignAnswer, ForeignClient } from "./foreign.ts";

const ROOT = fileURLToPath(new URL("../../..", import.meta.url));

/** What it writes of a refusal. */
interface Told {
  readonly code?: string;
  readonly message?: string;
  readonly details?: readonly { type: string; value: string }[];
}

/** A command of the shell, one process a call. Secrets go by files and standard input. */
export function bufCurlClient(): ForeignClient {
  const folder = mkdtempSync(join(tmpdir(), "cvlan-buf-curl-"));
  const schema = join(folder, "image.binpb");
  execFileSync("buf", ["build", "-o", schema], { cwd: ROOT });
  function keep(text: string): string {
    const path = join(folder, createHash("sha256").update(text).digest("hex"));
    writeFileSync(path, text, { mode: 0o600 });
    return path;
  }
  return {
    name: "buf curl",
    async call({ url, roots, certificate, key, headers, service, method, stream, message }) {
      const own = certificate === "" ? [] : ["--cert", keep(certificate), "--key", keep(key)];
      const tls = ["--cacert", keep(roots), ...own];
      const input = ["--header", "@-", "--data", "@-"];
      const argv = ["curl", "--schema", schema, "--protocol", "grpc", ...tls, ...input, `${url}/${service}/${method}`];
      const child = spawn("buf", argv, { cwd: folder, stdio: ["pipe", "pipe", "pipe"] });
      let [out, err] = ["", ""];
      const { promise, resolve, reject } = Promise.withResolvers<ForeignAnswer>();
      child.stdout.on("data", (chunk: Buffer) => {
        out += chunk.toString();
        if (!stream) return;
        const first = firstDocument(out);
        if (first === undefined) return;
        resolve({ message: first });
        child.kill();
      });
      child.stderr.on("data", (chunk: Buffer) => (err += chunk.toString()));
      child.on("error", reject);
      child.on("close", (code) => {
        if (code === 0 && !stream) resolve({ message: JSON.parse(out === "" ? "{}" : out) as JsonValue });
        else {
          const told = firstDocument(err) as Told | undefined;
          if (told?.code === undefined) reject(new Error(`buf curl ended with ${code}: ${err || out}`));
          else resolve({ code: told.code, text: told.message ?? "", details: told.details ?? [] });
        }
      });
      const lines = Object.entries(headers).map(([name, value]) => `${name}: ${value}\n`);
      child.stdin.on("error", () => undefined);
      child.stdin.end(`${lines.join("")}\n${JSON.stringify(message)}`);
      return await promise;
    },
    async close() {
      rmSync(folder, { recursive: true, force: true });
    },
  };
}

/** The first whole JSON document of a text. */
function firstDocument(text: string): JsonValue | undefined {
  for (let end = text.indexOf("\n}"); end >= 0; end = text.indexOf("\n}", end + 1)) {
    try {
      return JSON.parse(text.slice(0, end + 2)) as JsonValue;
    } catch {
      continue;
    }
  }
  try {
    return JSON.parse(text) as JsonValue;
  } catch {
    return undefined;
  }
}

import type { Readable } from "node:stream";
import { UsageError } from "./exit.ts";

/** The whole of a stream as text. @throws UsageError when it is longer than the bound. */
export async function readBounded(input: Readable, maxBytes: number): Promise<string> {
  const chunks: Buffer[] = [];
  let bytes = 0;
  for await (const chunk of input) {
    const part = Buffer.from(chunk as Uint8Array);
    bytes += part.length;
    if (bytes > maxBytes) throw new UsageError("standard input is too long", "pipe in the join string alone");
    chunks.push(part);
  }
  return Buffer.concat(chunks).toString("utf8");
}

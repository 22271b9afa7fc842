import { mkdir, open, rm } from "node:fs/promises";
import { join } from "node:path";
import { must } from "@cloudvlan/test/lab";

const BALLAST = "ballast";

/** A folder on a disk of its own that can be filled up. */
export interface SmallDisk extends AsyncDisposable {
  /** Takes all the space there is, to the last byte. */
  fill(): Promise<void>;
  /** Gives back what `fill` took. */
  free(): Promise<void>;
}

/** Mounts an empty memory file system on a folder, which is made. Needs the mount namespace of an enclosure. */
export async function mountSmallDisk(folder: string, megabytes: number): Promise<SmallDisk> {
  await mkdir(folder, { recursive: true, mode: 0o700 });
  await must(["mount", "-t", "tmpfs", "-o", `size=${megabytes}m,mode=0700`, "tmpfs", folder]);
  const ballast = join(folder, BALLAST);
  return {
    fill: async () => {
      const file = await open(ballast, "a", 0o600);
      try {
        for (let chunk = Buffer.alloc(2 ** 20); chunk.length > 0;) {
          const written = await file.write(chunk).then(
            ({ bytesWritten }) => bytesWritten,
            (error: NodeJS.ErrnoException) => {
              if (error.code !== "ENOSPC") throw error;
              return 0;
            },
          );
          if (written === 0) chunk = chunk.subarray(0, Math.floor(chunk.length / 2));
        }
      } finally {
        await file.close();
      }
    },
    free: () => rm(ballast),
    // Lazily: a process that was just killed may hold it for a moment yet.
    [Symbol.asyncDispose]: async () => void (await must(["umount", "--lazy", folder])),
  };
}

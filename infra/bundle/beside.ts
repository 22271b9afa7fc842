import { existsSync } from "node:fs";
import { cp, readFile } from "node:fs/promises";
import { dirname, join, relative } from "node:path";
import type { Loader, Plugin } from "esbuild";

/** A module's name for a file or folder that lies beside it. */
const BESIDE = /\bnew URL\(\s*["'](?:\.\/)?([\w.-]+)["']\s*,\s*import\.meta\.url\s*\)/g;
/** Whose modules look for files beside them. */
const MODULES = /\/(?:kit|services)\/.*\.ts$|\/node_modules\/@electric-sql\/pglite\/dist\/[^/]+\.js$/;
const FOLDER = "beside";

/** Files that modules find by their own address, which is another one in a bundle. */
export interface Beside {
  readonly plugin: Plugin;
  /** Copies what was found to where the bundle looks for it. */
  copyTo(folder: string): Promise<void>;
}

export function besides(root: string): Beside {
  const found = new Map<string, string>();
  const plugin: Plugin = {
    name: "beside",
    setup: (build) => {
      build.onLoad({ filter: MODULES }, async ({ path }) => {
        const text = await readFile(path, "utf8");
        const contents = text.replaceAll(BESIDE, (whole: string, name: string) => {
          const source = join(dirname(path), name);
          if (!existsSync(source)) return whole;
          const place = `${FOLDER}/${relative(root, source)}`;
          found.set(source, place);
          return `new URL(${JSON.stringify(place)}, import.meta.url)`;
        });
        const loader: Loader = path.endsWith(".ts") ? "ts" : "js";
        return contents === text ? undefined : { contents, loader };
      });
    },
  };
  return {
    plugin,
    copyTo: async (folder) => {
      for (const [source, place] of found) await cp(source, join(folder, place), { recursive: true });
    },
  };
}

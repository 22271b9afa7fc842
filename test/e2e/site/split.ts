import { mkdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { type SiteCa, startSiteCa } from "@cloudvlan/infra/site/control-plane";
import { type Program, program } from "@cloudvlan/infra/site/process";
import { PROVISIONER } from "@cloudvlan/infra/step-ca/init";
import { type Connection, connectTo } from "@cloudvlan/kit/client";
import { systemClock } from "@cloudvlan/kit/clock";
import { newId } from "@cloudvlan/kit/ids";
import { testServer } from "@cloudvlan/kit/testing";
import { must } from "@cloudvlan/test/lab";

const PORTS = { auth: 9101, registry: 9102, policy: 9103, netmap: 9104 } as const;
export type SplitName = keyof typeof PORTS;
/** Each after those it calls. */
export const ORDER: readonly SplitName[] = ["auth", "registry", "policy", "netmap"];

const inClone = (path: string): string => fileURLToPath(new URL(`../../../${path}`, import.meta.url));

export interface SplitOptions {
  /** Where nodes reach the control plane; registry itself when absent. */
  readonly url?: string;
  /** Further keys of a process's configuration. */
  readonly further?: (name: SplitName) => object;
}

/** Every service in a process of its own, over one PostgreSQL. */
export interface Split extends AsyncDisposable {
  readonly ca: SiteCa;
  readonly processes: ReadonlyMap<SplitName, Program>;
  portOf(name: SplitName): number;
  urlOf(name: SplitName): string;
  /** A connection with the platform owner's rights. */
  asOwner(name: SplitName): Promise<Connection>;
}

/** @param folder empty; gone after the split is disposed of, by whoever made it */
export async function startSplit(
  folder: string,
  { node, stepCa }: { readonly node: string; readonly stepCa: string },
  options: SplitOptions = {},
): Promise<Split> {
  await using cleanup = new AsyncDisposableStack();
  const urlOf = (name: SplitName): string => `https://127.0.0.1:${PORTS[name]}`;
  const cluster = newId("cluster", systemClock.nowMs());
  const ca = await startSiteCa(join(folder, "ca"), cluster, stepCa);
  cleanup.defer(() => ca.stop());
  const urlFile = join(folder, "database.url");
  await writeFile(urlFile, await (await testServer()).newDatabase(), { mode: 0o600 });
  const ownerKeyFile = join(folder, "platform-owner.key");
  const processes = new Map<SplitName, Program>();

  for (const name of ORDER) {
    const out = join(folder, `identity-${name}`);
    const config = {
      cluster,
      data: join(folder, name),
      url: options.url ?? urlOf("registry"),
      listen: { address: "127.0.0.1", port: PORTS[name], names: ["127.0.0.1"] },
      store: { kind: "postgres", url_file: urlFile },
      ...options.further?.(name),
      ...(name === "auth"
        ? {
            ca: {
              url: ca.url,
              root: ca.files.rootPem,
              provisioner: PROVISIONER,
              provisioner_key: ca.files.provisionerKey,
            },
            services: {
              auth: {
                owner_key_file: ownerKeyFile,
                service_names: Object.fromEntries(ORDER.map((service) => [service, ["127.0.0.1"]])),
              },
            },
          }
        : {
            endpoints: Object.fromEntries(
              ORDER.filter((other) => other !== name).map((other) => [other, urlOf(other)]),
            ),
            identities: {
              [name]: {
                certificate: join(out, "certificate.pem"),
                key: join(out, "key.pem"),
                roots: join(out, "roots.pem"),
              },
            },
          }),
    };
    await mkdir(join(folder, name), { mode: 0o700 });
    const file = join(folder, `${name}.yaml`);
    await writeFile(file, JSON.stringify(config), { mode: 0o600 });
    if (name !== "auth") {
      const issue = [node, inClone("services/auth/issue.ts"), "--config", join(folder, "auth.yaml")];
      await must([...issue, "--service", name, "--out", out]);
    }
    const service = program([node, inClone(`services/${name}/main.ts`), "--config", file], join(folder, `${name}.log`));
    cleanup.defer(() => service.end("SIGTERM"));
    await service.start();
    await service.until(`${name} serves`, async () => (await service.said()).includes('"msg":"serving"'));
    processes.set(name, service);
  }
  const kept = cleanup.move();
  return {
    ca,
    processes,
    portOf: (name) => PORTS[name],
    urlOf,
    asOwner: async (name) => {
      const bearer = (await readFile(ownerKeyFile, "utf8")).trim();
      const connection = connectTo(urlOf(name), { roots: ca.roots, bearer });
      kept.defer(() => connection.close());
      return connection;
    },
    [Symbol.asyncDispose]: () => kept.disposeAsync(),
  };
}

import assert from "node:assert/strict";
import { createHash, X509Certificate } from "node:crypto";
import { mkdir, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { programsOf } from "@cloudvlan/infra/start/programs";
import { initCa, PROVISIONER } from "@cloudvlan/infra/step-ca/init";
import { startCa } from "@cloudvlan/infra/step-ca/start";
import { TenantService } from "@cloudvlan/gen/auth/v1/auth_pb.js";
import { PolicyAction, PolicyProtocol } from "@cloudvlan/gen/entity/v1/policy_pb.js";
import { PolicyService } from "@cloudvlan/gen/policy/v1/policy_pb.js";
import { CvlanService, EnrollmentService } from "@cloudvlan/gen/registry/v1/registry_pb.js";
import { connectTo, fetchTrustBundle } from "@cloudvlan/kit/client";
import { systemClock } from "@cloudvlan/kit/clock";
import { newId } from "@cloudvlan/kit/ids";
import { testServer } from "@cloudvlan/kit/testing";
import { must } from "@cloudvlan/test/lab";
import { createClient } from "@connectrpc/connect";
import { joinRequest, memberOf, newMachineKeys } from "../contract/member.ts";
import { view } from "../contract/viewer.ts";
import { program } from "@cloudvlan/infra/site/process";
import { anyone, until } from "./site/index.ts";

const PORTS = { auth: 9101, registry: 9102, policy: 9103, netmap: 9104 } as const;
type Name = keyof typeof PORTS;
/** Each after those it calls. */
const ORDER: readonly Name[] = ["auth", "registry", "policy", "netmap"];

const urlOf = (name: Name): string => `https://127.0.0.1:${PORTS[name]}`;
const inClone = (path: string): string => fileURLToPath(new URL(`../../${path}`, import.meta.url));

describe("each service in a process of its own", function () {
  this.timeout(300_000);

  it("enrols a node and shows it its map, over mTLS from service to service", async () => {
    await using cleanup = new AsyncDisposableStack();
    const { node, stepCa } = programsOf(process.env, process.execPath);
    const folder = await mkdtemp(join(tmpdir(), "cv-split-"));
    cleanup.defer(() => rm(folder, { recursive: true, force: true, maxRetries: 10 }));
    const cluster = newId("cluster", systemClock.nowMs());
    const files = await initCa(join(folder, "ca"), {
      clusterId: cluster,
      names: ["127.0.0.1"],
      address: "127.0.0.1:0",
    });
    const ca = await startCa(join(folder, "ca"), stepCa);
    cleanup.defer(() => ca.stop());
    const urlFile = join(folder, "database.url");
    await writeFile(urlFile, await (await testServer()).newDatabase(), { mode: 0o600 });
    const ownerKeyFile = join(folder, "platform-owner.key");

    for (const name of ORDER) {
      const out = join(folder, `identity-${name}`);
      const config = {
        cluster,
        data: join(folder, name),
        url: urlOf("registry"),
        listen: { address: "127.0.0.1", port: PORTS[name], names: ["127.0.0.1"] },
        store: { kind: "postgres", url_file: urlFile },
        ...(name === "auth"
          ? {
              ca: {
                url: ca.url,
                root: files.rootPem,
                provisioner: PROVISIONER,
                provisioner_key: files.provisionerKey,
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
      const service = program(
        [node, inClone(`services/${name}/main.ts`), "--config", file],
        join(folder, `${name}.log`),
      );
      cleanup.defer(() => service.end("SIGTERM"));
      await service.start();
      await until(`${name} serves`, async () => {
        const said = await service.output();
        if (!service.running) throw new Error(`${name} ended:\n${said.slice(-2_000)}`);
        return said.includes('"msg":"serving"');
      });
    }

    const root = new X509Certificate(await readFile(files.rootPem));
    const caSha256 = createHash("sha256").update(root.raw).digest();
    const roots = await fetchTrustBundle(urlOf("auth"), caSha256);
    const bearer = (await readFile(ownerKeyFile, "utf8")).trim();
    const asOwner = (name: Name) => {
      const connection = connectTo(urlOf(name), { roots, bearer });
      cleanup.defer(() => connection.close());
      return connection;
    };
    const { tenant } = await createClient(TenantService, asOwner("auth")).createTenant({ name: "split" });
    const tenantId = tenant?.id ?? "";
    const registry = asOwner("registry");
    const { cvlan } = await createClient(CvlanService, registry).createCvlan({ tenantId, name: "main" });
    const cvlanId = cvlan?.id ?? "";
    const rules = [
      {
        name: "ping",
        action: PolicyAction.ALLOW,
        sources: [anyone],
        destinations: [anyone],
        protocol: PolicyProtocol.ICMP,
      },
    ];
    await createClient(PolicyService, asOwner("policy")).applyPolicy({ tenantId, cvlanId, document: { rules } });

    const enrol = async (name: string) => {
      const enrollment = createClient(EnrollmentService, registry);
      const { joinString } = await enrollment.createJoinToken({ tenantId, cvlanId });
      const keys = await newMachineKeys();
      const anonymous = connectTo(urlOf("registry"), { roots });
      cleanup.defer(() => anonymous.close());
      const request = await joinRequest(anonymous, joinString, keys, name);
      return memberOf(joinString, keys, await createClient(EnrollmentService, anonymous).join(request));
    };
    const [one, two] = [await enrol("one"), await enrol("two")];
    const connection = connectTo(urlOf("netmap"), { roots, ...one.credential });
    cleanup.defer(() => connection.close());
    const map = view(connection, one);
    cleanup.defer(() => map.stop());
    await until(
      "the first node sees the second and the rule",
      () => map.nodes.has(two.nodeId) && map.rules.has("ping"),
    );
    assert.equal(map.distrust, undefined);
  });
});

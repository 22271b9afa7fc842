import assert from "node:assert/strict";
import { cp, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { services } from "@cloudvlan/all";
import { loadProcessConfig } from "@cloudvlan/kit/config";
import { made, outputOf, root } from "./run.ts";

const CHART = "infra/helm/cloudvlan";
const CLUSTER = "clusterId=cluster_018f2d5e-7c1a-7000-8000-000000000001";

interface Rendered {
  readonly kind: string;
  readonly data?: Readonly<Record<string, string>>;
}

describe("compose file and chart, by their own validators", () => {
  const validate = (...args: string[]) => outputOf([made("CLOUDVLAN_VALIDATE"), ...args]);
  let folder: string;
  before(async () => void (folder = await mkdtemp(join(tmpdir(), "cvlan-validate-"))));
  after(() => rm(folder, { recursive: true, force: true }));

  /** What the control plane makes of a configuration. */
  async function load(text: string): Promise<string> {
    const file = join(folder, "control-plane.yaml");
    await writeFile(file, text, { mode: 0o600 });
    return loadProcessConfig(file, Object.fromEntries(services.map(({ name, config }) => [name, config]))).url;
  }

  it("the compose file is good, and the configuration beside it", async () => {
    const project = JSON.parse(await validate("compose", "infra/compose/compose.yaml")) as { services: object };
    assert.deepEqual(Object.keys(project.services).toSorted(), ["control-plane", "database", "step-ca"]);
    await load(await readFile(join(root, "infra/compose/control-plane.yaml"), "utf8"));
  });
  it("a compose file with a key that Compose does not know is refused", async () => {
    const text = await readFile(join(root, "infra/compose/compose.yaml"), "utf8");
    await writeFile(join(folder, "compose.yaml"), text.replace("read_only: true", "readonly: true"));
    await assert.rejects(validate("compose", join(folder, "compose.yaml")), /readonly/);
  });

  it("the chart is good for Helm and for Kubernetes, and so is the configuration in it", async () => {
    const lines = (await validate("helm", CHART, CLUSTER, "controlPlane.services.netmap.head_seconds=10")).trim();
    const documents = lines.split("\n").map((line) => JSON.parse(line) as Rendered);
    const kinds = documents.map(({ kind }) => kind).toSorted();
    assert.deepEqual(kinds, [
      "ConfigMap",
      "Deployment",
      "Deployment",
      "NetworkPolicy",
      "PodDisruptionBudget",
      "Service",
      "Service",
    ]);
    const config = documents.find(({ kind }) => kind === "ConfigMap")?.data?.["control-plane.yaml"] ?? "";
    assert.match(config, /head_seconds: 10/);
    assert.equal(await load(config), "https://controller.example:8443");
  });
  it("values that the chart does not know, and a cluster id that is none, are refused", async () => {
    await assert.rejects(validate("helm", CHART, "clusterId=mine"), /clusterId/);
    await assert.rejects(validate("helm", CHART, CLUSTER, "replicas=3"), /replicas/);
  });
  it("a template with a field that Kubernetes does not know is refused", async () => {
    const chart = join(folder, "cloudvlan");
    await cp(join(root, CHART), chart, { recursive: true });
    const file = join(chart, "templates/step-ca.yaml");
    await writeFile(file, (await readFile(file, "utf8")).replace("replicas: 1", "replica: 1"));
    await assert.rejects(validate("helm", chart, CLUSTER), /unknown field "spec.replica"/);
  });
});

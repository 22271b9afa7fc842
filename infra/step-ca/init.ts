import { randomBytes, randomUUID } from "node:crypto";
import { mkdir, open, readdir, rename, rm } from "node:fs/promises";
import { createServer } from "node:net";
import { basename, dirname, join, resolve } from "node:path";
import { systemClock } from "@cloudvlan/kit/clock";
import { newAuthority } from "@cloudvlan/kit/ca";
import { exportJWK, generateKeyPair } from "jose";

export const PROVISIONER = "cloudvlan";

/** Where the parts of a certificate authority lie. */
export interface CaFiles {
  readonly config: string;
  readonly rootPem: string;
  /** Private JWK that authorises signatures; only auth may read it. */
  readonly provisionerKey: string;
}

export interface CaSettings {
  readonly clusterId: string;
  /** DNS names and IP addresses at which the CA is reached. */
  readonly names: readonly string[];
  /** `host:port`; port 0 lets the system choose one, once. */
  readonly address: string;
}

/** Names and identity come from the token that auth signed, never from the request. */
const LEAF_TEMPLATE = `{
  "subject": { "commonName": {{ toJson .Subject.CommonName }} },
  "sans": {{ toJson .SANs }},
  "keyUsage": ["digitalSignature"],
  "extKeyUsage": ["clientAuth", "serverAuth"]
}`;

export function caFiles(dir: string): CaFiles {
  const folder = resolve(dir);
  return {
    config: join(folder, "ca.json"),
    rootPem: join(folder, "root.pem"),
    provisionerKey: join(folder, "provisioner.jwk"),
  };
}

/**
 * Makes a certificate authority for step-ca in a folder, whole or not at all; one that is there already stays as it is.
 * @throws Error when the folder holds something else.
 */
export async function initCa(dir: string, settings: CaSettings): Promise<CaFiles> {
  const folder = resolve(dir);
  const files = caFiles(folder);
  const present = await entriesOf(folder);
  if (present.includes(basename(files.config))) return files;
  if (present.length > 0) throw new Error(`${folder} holds files but no ca.json; give an empty folder for the CA`);

  const draft = `${folder}.${randomBytes(6).toString("hex")}`;
  await mkdir(dirname(folder), { recursive: true, mode: 0o700 });
  await mkdir(draft, { mode: 0o700 });
  try {
    const authority = await newAuthority(settings.clusterId, systemClock.nowMs());
    const provisioner = await newProvisionerKey();
    const config = caConfig(folder, { ...settings, address: await settle(settings.address) }, provisioner.publicJwk);
    const contents: Record<string, string> = {
      "root.pem": authority.rootPem,
      "root.key": authority.rootKeyPem,
      "intermediate.pem": authority.intermediatePem,
      "intermediate.key": authority.intermediateKeyPem,
      "provisioner.jwk": JSON.stringify(provisioner.privateJwk),
      "ca.json": JSON.stringify(config, undefined, 2),
    };
    for (const [name, text] of Object.entries(contents)) await writeDurably(join(draft, name), text);
    await rename(draft, folder);
  } catch (error) {
    await rm(draft, { recursive: true, force: true });
    throw error;
  }
  return files;
}

/**
 * Configuration of step-ca. Without a database: it would keep every leaf for ever, and revocation and renewal are ours.
 * Its own renewal is off, since it knows nothing of denied identities.
 */
function caConfig(folder: string, { names, address }: CaSettings, publicJwk: object): object {
  const claims = {
    minTLSCertDuration: "10s",
    maxTLSCertDuration: "24h",
    defaultTLSCertDuration: "1h",
    disableRenewal: true,
    disableSmallstepExtensions: true,
  };
  return {
    root: join(folder, "root.pem"),
    crt: join(folder, "intermediate.pem"),
    key: join(folder, "intermediate.key"),
    address,
    dnsNames: names,
    logger: { format: "json" },
    authority: {
      backdate: "1m",
      provisioners: [
        { type: "JWK", name: PROVISIONER, key: publicJwk, claims, options: { x509: { template: LEAF_TEMPLATE } } },
      ],
    },
    tls: { minVersion: 1.3, maxVersion: 1.3, renegotiation: false },
  };
}

async function newProvisionerKey() {
  const { privateKey, publicKey } = await generateKeyPair("ES256", { extractable: true });
  const common = { kid: randomUUID(), use: "sig", alg: "ES256" };
  return {
    privateJwk: { ...(await exportJWK(privateKey)), ...common },
    publicJwk: { ...(await exportJWK(publicKey)), ...common },
  };
}

/** Puts a free port in the place of port 0. */
async function settle(address: string): Promise<string> {
  const colon = address.lastIndexOf(":");
  const host = address.slice(0, colon).replace(/^\[(.*)\]$/, "$1");
  const port = Number(address.slice(colon + 1));
  if (colon < 1 || !Number.isInteger(port) || port < 0 || port > 65_535) {
    throw new Error(`${JSON.stringify(address)} is not host:port; give for example 127.0.0.1:9000`);
  }
  if (port !== 0) return address;
  const { promise, resolve: listening, reject } = Promise.withResolvers<void>();
  const server = createServer().once("error", reject).listen(0, host, listening);
  await promise;
  const bound = server.address();
  const { promise: closed, resolve: close } = Promise.withResolvers<void>();
  server.close(() => close());
  await closed;
  if (bound === null || typeof bound === "string") throw new Error(`no free port on ${host}`);
  return `${address.slice(0, colon)}:${bound.port}`;
}

async function entriesOf(folder: string): Promise<string[]> {
  try {
    return await readdir(folder);
  } catch (error) {
    if (error instanceof Error && "code" in error && error.code === "ENOENT") return [];
    throw error;
  }
}

async function writeDurably(path: string, text: string): Promise<void> {
  const file = await open(path, "wx", 0o600);
  try {
    await file.writeFile(text);
    await file.sync();
  } finally {
    await file.close();
  }
}

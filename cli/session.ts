import type { DescService } from "@bufbuild/protobuf";
import { type Client, createClient } from "@connectrpc/connect";
import { ApiKeyService, TenantService } from "@cloudvlan/gen/auth/v1/auth_pb.js";
import type { Cvlan } from "@cloudvlan/gen/entity/v1/cvlan_pb.js";
import { CvlanService } from "@cloudvlan/gen/registry/v1/registry_pb.js";
import { connectTo, fetchTrustBundle } from "@cloudvlan/kit/client";
import { readConfigFile, readSecretFile } from "@cloudvlan/kit/config";
import { isId } from "@cloudvlan/kit/ids";
import { certificatesOf } from "@cloudvlan/kit/pki";
import { type Context, contextPath, readContext } from "./context.ts";
import { UsageError } from "./exit.ts";
import type { Io } from "./io.ts";
import { byName, everyPage } from "./lookup.ts";

/** Options that every command takes. */
export interface GlobalOptions {
  readonly json?: boolean;
  readonly controller?: string;
  readonly ca?: string;
  readonly caSha256?: string;
  readonly keyFile?: string;
  readonly context?: string;
  readonly tenant?: string;
  readonly cvlan?: string;
  readonly state: string;
}

/** An authenticated way to the controller. */
export interface Session extends Disposable {
  client<S extends DescService>(service: S): Client<S>;
  /** The tenant that is meant: by option, context, or the key's own. */
  tenantId(): Promise<string>;
  /** The network that is meant: by option, context, or the tenant's only one. */
  cvlan(): Promise<Cvlan>;
}

const LOGIN = "run `cvlan login`, or give --controller, --ca or --ca-sha256, and --key-file";

/** @throws UsageError or ConfigError when something to go by is missing or unreadable. */
export async function openSession(io: Io, options: GlobalOptions): Promise<Session> {
  const context = readContext(options.context ?? contextPath(io.configHome));
  const url = options.controller ?? context?.controller;
  if (url === undefined) throw new UsageError("no controller is named", LOGIN);
  requireHttps(url);
  // What was remembered for one controller is for no other, least of all the key.
  const remembered = context && sameUrl(context.controller, url) ? context : undefined;
  const roots = await rootsOf(options, remembered, url);
  const bearer = options.keyFile === undefined ? remembered?.key : readSecretFile(options.keyFile);
  if (bearer === undefined) throw new UsageError("no API key is given", LOGIN);
  const connection = connectTo(url, { roots, bearer });
  const client = <S extends DescService>(service: S) => createClient(service, connection);

  const session: Session = {
    client,
    [Symbol.dispose]: () => connection.close(),
    tenantId: async () => {
      const { tenantId, tenantName } = await client(ApiKeyService).whoAmI({}, { signal: io.signal });
      const wanted = options.tenant ?? context?.tenant;
      if (wanted === undefined || wanted === "") {
        if (tenantId) return tenantId;
        throw new UsageError("the key is of the platform and no tenant is named", "give --tenant NAME");
      }
      if (isId("tenant", wanted)) return wanted;
      if (tenantId && wanted === tenantName) return tenantId;
      const tenants = await everyPage(
        (pagination) => client(TenantService).listTenants({ pagination }, { signal: io.signal }),
        (page) => page.tenants,
      );
      return byName("tenant", tenants, wanted).id;
    },
    cvlan: async () => {
      const cvlans = await listCvlans(session, io);
      const wanted = options.cvlan ?? context?.cvlan;
      if (wanted !== undefined && wanted !== "") return byName("cvlan", cvlans, wanted);
      const [only, ...others] = cvlans;
      if (!only) throw new UsageError("the tenant has no network yet", "make one with `cvlan cvlan create NAME`");
      if (others.length > 0) {
        throw new UsageError(
          "the tenant has several networks",
          `give --cvlan: ${cvlans.map(({ name }) => name).join(", ")}`,
        );
      }
      return only;
    },
  };
  return session;
}

/** True when the command line or `cvlan login` says which controller is meant. */
export function isControllerNamed(io: Io, options: GlobalOptions): boolean {
  return (options.controller ?? readContext(options.context ?? contextPath(io.configHome))) !== undefined;
}

/** Every network of the session's tenant. */
export async function listCvlans(session: Session, io: Io): Promise<Cvlan[]> {
  const tenantId = await session.tenantId();
  return await everyPage(
    (pagination) => session.client(CvlanService).listCvlans({ tenantId, pagination }, { signal: io.signal }),
    (page) => page.cvlans,
  );
}

/** Roots by file, fingerprint or context, in this order. */
export async function rootsOf(
  options: Pick<GlobalOptions, "ca" | "caSha256">,
  remembered: Context | undefined,
  url: string,
): Promise<readonly Uint8Array[]> {
  if (options.ca !== undefined) return rootsIn(readConfigFile(options.ca), options.ca);
  if (options.caSha256 !== undefined) return await fetchTrustBundle(url, fingerprint(options.caSha256));
  if (remembered) return rootsIn(remembered.ca_pem, "the context");
  throw new UsageError("nothing says which CA to trust", "give --ca FILE or --ca-sha256 HEX");
}

/** @throws UsageError */
export function requireHttps(url: string): void {
  if (URL.canParse(url) && new URL(url).protocol === "https:") return;
  throw new UsageError(`${JSON.stringify(url)} is not an https URL`, "write it like https://host:8443");
}

function sameUrl(a: string, b: string): boolean {
  return URL.canParse(a) && URL.canParse(b) && new URL(a).href === new URL(b).href;
}

function rootsIn(pem: string, where: string): Uint8Array[] {
  const roots = certificatesOf(pem);
  if (roots.length === 0) throw new UsageError(`${where} holds no certificate`, "give a PEM file of the CA's root");
  return roots;
}

function fingerprint(hex: string): Uint8Array {
  const digits = hex.replaceAll(":", "");
  if (!/^[0-9a-fA-F]{64}$/.test(digits)) {
    throw new UsageError("--ca-sha256 is not a SHA-256 in hexadecimal", "copy all 64 digits");
  }
  return Buffer.from(digits, "hex");
}

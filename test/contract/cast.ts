import { Permission } from "@cloudvlan/gen/options/v1/options_pb.js";
import type { ServiceName } from "@cloudvlan/kit/caller";
import { CALL_CONTEXT_HEADER } from "@cloudvlan/kit/interceptors";
import type { Transport } from "@connectrpc/connect";
import { type Credential, yesterday } from "./certificates.ts";
import type { Installation } from "./installation.ts";
import type { Member } from "./member.ts";
import type { Person, Subject, Via } from "./roles.ts";
import { callContextOf, GRANTABLE, type Side } from "./world.ts";

/** Somebody who calls. */
export interface Role {
  readonly name: string;
  readonly subject: Subject;
  readonly transport: Transport;
}

const SERVICES: readonly ServiceName[] = ["auth", "registry", "policy", "netmap"];
const ADDRESS = "192.0.2.7";
const ALL: ReadonlySet<Permission> = new Set(GRANTABLE);

function withHeader(transport: Transport, name: string, value: string): Transport {
  const added = (given: ConstructorParameters<typeof Headers>[0]): Headers => {
    const headers = new Headers(given);
    headers.set(name, value);
    return headers;
  };
  return {
    unary: (method, signal, timeoutMs, header, input, values) =>
      transport.unary(method, signal, timeoutMs, added(header), input, values),
    stream: (method, signal, timeoutMs, header, input, values) =>
      transport.stream(method, signal, timeoutMs, added(header), input, values),
  };
}

/** Ways to call as somebody, by one of the two roads. */
interface Road {
  anonymous(): Transport;
  person(apiKey: string): Transport;
  node(credential: Credential): Transport;
  service(name: ServiceName): Promise<Transport>;
}

function roadOf(installation: Installation, via: Via): Road {
  if (via === "over TCP and mTLS") {
    return {
      anonymous: () => installation.anonymous(),
      person: (apiKey) => installation.person(apiKey),
      node: (credential) => installation.holder(credential),
      service: async (name) => installation.holder(await installation.certify({ kind: "service", name })),
    };
  }
  const stranger = () => installation.inProcess({ kind: "tls", address: ADDRESS, chain: [] });
  return {
    anonymous: stranger,
    person: (apiKey) => withHeader(stranger(), "authorization", `Bearer ${apiKey}`),
    node: ({ certificate }) => installation.inProcess({ kind: "tls", address: ADDRESS, chain: certificate }),
    service: (name) => Promise.resolve(installation.inProcess({ kind: "local", service: name })),
  };
}

/** Everybody who may try an RPC on the objects of tenant `a`. */
export async function castOf(
  installation: Installation,
  via: Via,
  [a, b]: readonly [Side, Side],
  members: { readonly ofA: Member; readonly ofB: Member; readonly revoked: Member },
): Promise<Role[]> {
  const road = roadOf(installation, via);
  const admin = (side: Side): Person => ({ kind: "person", tenantId: side.tenantId, permissions: ALL });
  const narrow = async (permission: Permission) => {
    const subject: Person = { kind: "person", tenantId: a.tenantId, permissions: new Set([permission]) };
    return { subject, apiKey: (await a.newKey([permission])).secret };
  };
  const [readsRegions, readsTags] = [await narrow(Permission.REGION_READ), await narrow(Permission.TAG_READ)];
  const { tenantId, nodeId } = members.ofA;
  const past = await installation.certify({ kind: "node", tenantId, nodeId }, yesterday(Date.now()));
  const contextOfAdmin = await callContextOf(installation, a.admin);
  const valid: Subject = { kind: "node", state: "valid" };

  async function acting(name: ServiceName, whose: string, person: Person, apiKey: string): Promise<Role> {
    const context = await callContextOf(installation, apiKey);
    const transport = withHeader(await road.service(name), CALL_CONTEXT_HEADER, context);
    return { name: `${name} for ${whose}`, subject: { kind: "service", name, person }, transport };
  }
  const owner: Person = { kind: "person", tenantId: undefined, permissions: ALL };

  return [
    { name: "nobody", subject: { kind: "anonymous" }, transport: road.anonymous() },
    {
      name: "nobody with somebody's call context",
      subject: { kind: "anonymous" },
      transport: withHeader(road.anonymous(), CALL_CONTEXT_HEADER, contextOfAdmin),
    },
    { name: "the platform's owner", subject: owner, transport: road.person(installation.ownerKey) },
    { name: "the tenant's admin", subject: admin(a), transport: road.person(a.admin) },
    { name: "a key for regions", subject: readsRegions.subject, transport: road.person(readsRegions.apiKey) },
    { name: "a key for tags", subject: readsTags.subject, transport: road.person(readsTags.apiKey) },
    { name: "another tenant's admin", subject: admin(b), transport: road.person(b.admin) },
    { name: "a node", subject: valid, transport: road.node(members.ofA.credential) },
    {
      name: "a node with an admin's call context",
      subject: valid,
      transport: withHeader(road.node(members.ofA.credential), CALL_CONTEXT_HEADER, contextOfAdmin),
    },
    { name: "a node of another tenant", subject: valid, transport: road.node(members.ofB.credential) },
    {
      name: "a node whose certificate ran out",
      subject: { kind: "node", state: "expired" },
      transport: road.node(past),
    },
    {
      name: "a revoked node",
      subject: { kind: "node", state: "revoked" },
      transport: road.node(members.revoked.credential),
    },
    ...(await Promise.all(
      SERVICES.map(async (name) => ({
        name,
        subject: { kind: "service", name, person: undefined } as const,
        transport: await road.service(name),
      })),
    )),
    await acting("policy", "the tenant's admin", admin(a), a.admin),
    await acting("policy", "another tenant's admin", admin(b), b.admin),
    await acting("netmap", "another tenant's admin", admin(b), b.admin),
    await acting("netmap", "a key for tags", readsTags.subject, readsTags.apiKey),
    await acting("registry", "another tenant's admin", admin(b), b.admin),
  ];
}

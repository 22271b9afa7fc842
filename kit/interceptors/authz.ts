import { type DescMessage, type DescMethod, type Message } from "@bufbuild/protobuf";
import { reflect } from "@bufbuild/protobuf/reflect";
import { MethodOptions_IdempotencyLevel } from "@bufbuild/protobuf/wkt";
import type { Interceptor } from "@connectrpc/connect";
import { type Access, CallerKind, Permission, Scope } from "@cloudvlan/gen/options/v1/options_pb.js";
import { accessOf, CHASSIS_METHODS, pathOf, USES } from "../access/index.ts";
import { type Authority, type Caller, callerKey, type ServiceName } from "../caller/index.ts";
import { Refusal } from "../errors/index.ts";
import { checkFirst } from "./iterables.ts";

const DEFAULT_CALLERS: readonly CallerKind[] = [CallerKind.PERSON, CallerKind.SERVICE];

function denied(reason: string, message: string, remedy: string): Refusal {
  return new Refusal("denied", reason, message, { remedy });
}

/** The request's `tenant_id`; undefined when the message has no such field. */
export function tenantIdOf(schema: DescMessage, message: Message): string | undefined {
  const field = schema.fields.find((candidate) => candidate.name === "tenant_id");
  if (field?.fieldKind !== "scalar") return undefined;
  const value = reflect(schema, message).get(field);
  return typeof value === "string" ? value : undefined;
}

/** A tenant that is not the caller's own looks exactly like one that does not exist. */
function requireOwnTenant(authority: Authority, tenantId: string): void {
  if (authority.tenantId === undefined || authority.tenantId === tenantId) return;
  throw new Refusal("not_found", "NOT_FOUND", "there is no such object", {
    remedy: "check the ids in the request",
    auditReason: "FOREIGN_TENANT",
  });
}

function requireUse(service: ServiceName, method: DescMethod): void {
  if (USES[service].has(method.parent.typeName) || CHASSIS_METHODS.has(`${method.parent.typeName}.${method.name}`))
    return;
  throw denied("SERVICE_NOT_ALLOWED", "this service may not call that one", "call the service that owns the operation");
}

function authorizePerson(authority: Authority, access: Access, tenantId: string | undefined): void {
  if (access.permission !== Permission.NONE && !authority.permissions.has(access.permission)) {
    const wanted = Permission[access.permission] ?? "unknown";
    throw denied("PERMISSION_DENIED", `the right ${wanted} is missing`, `use an API key that holds ${wanted}`);
  }
  if (access.scope === Scope.PLATFORM && authority.tenantId !== undefined) {
    throw denied("PLATFORM_ONLY", "only the platform's operator may do this", "use an API key of the platform");
  }
  if (access.scope === Scope.TENANT) {
    if (tenantId === undefined) throw new Error("the RPC is of scope TENANT and its request has no tenant_id");
    requireOwnTenant(authority, tenantId);
  }
}

/** What tenants own is theirs to change: a service by itself may read it, and make the calls of the control plane to itself. */
function requireOwnBusiness(method: DescMethod, access: Access): void {
  if (access.permission === Permission.CONTROL_PLANE) return;
  if (method.idempotency === MethodOptions_IdempotencyLevel.NO_SIDE_EFFECTS) return;
  throw denied("PERSON_MISSING", "a service changes this for a person only", "call while handling a person's request");
}

function authorizeService(
  name: ServiceName,
  authority: Authority | undefined,
  method: DescMethod,
  access: Access,
  tenantId: string | undefined,
): void {
  if (access.scope !== Scope.SELF) {
    requireUse(name, method);
    if (!authority) requireOwnBusiness(method, access);
  }
  if (!authority) return;
  // For the control plane's own calls a person's rights do not apply, but the person's tenant does: nobody makes a
  // service act on another tenant for them.
  if (access.permission === Permission.CONTROL_PLANE) {
    if (tenantId !== undefined && tenantId !== "") requireOwnTenant(authority, tenantId);
  } else {
    authorizePerson(authority, access, tenantId);
  }
}

/**
 * Says whether a caller may make a call.
 * @throws Refusal `unauthenticated`, `denied`, or `not_found` for what is another tenant's.
 */
export function authorize(caller: Caller, method: DescMethod, message: Message): void {
  const access = accessOf(method);
  if (access.scope === Scope.HOST) {
    throw denied("LOCAL_ONLY", "this is served on the machine itself", "call the local socket");
  }
  if (access.anonymous) return;
  const kinds = access.callers.length === 0 ? DEFAULT_CALLERS : access.callers;
  const { workload, authority } = caller;
  const tenantId = tenantIdOf(method.input, message);
  const notLetIn = (what: string): Refusal =>
    denied("CALLER_KIND", `${what} may not call ${pathOf(method)}`, "call with a credential of the kind that may");
  switch (workload.kind) {
    case "node":
      if (!kinds.includes(CallerKind.NODE)) throw notLetIn("a node");
      if (workload.expired && !access.expiredCertificate) throw notLetIn("an expired certificate");
      return;
    case "service":
      if (kinds.includes(CallerKind.SERVICE)) {
        return authorizeService(workload.name, authority, method, access, tenantId);
      }
      if (authority && kinds.includes(CallerKind.PERSON)) {
        requireUse(workload.name, method);
        return authorizePerson(authority, access, tenantId);
      }
      throw notLetIn("a service");
    case "none":
      if (!authority) {
        throw new Refusal("unauthenticated", "CREDENTIAL_MISSING", "the call needs a credential", {
          remedy: "send an API key as `authorization: Bearer …` or present a client certificate",
        });
      }
      if (!kinds.includes(CallerKind.PERSON)) throw notLetIn("a person");
      return authorizePerson(authority, access, tenantId);
  }
}

/** Innermost check: the access option of the RPC, applied to who calls and to what the request names. */
export function authzInterceptor(): Interceptor {
  return (next) => async (request) => {
    const caller = request.contextValues.get(callerKey);
    if (!caller) throw new Error("authz runs without authn");
    const { method } = request;
    if (request.stream)
      return next(await checkFirst(request, (message) => authorize(caller, method, message as Message)));
    authorize(caller, method, request.message);
    return next(request);
  };
}

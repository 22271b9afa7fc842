import type { DescMethod } from "@bufbuild/protobuf";
import { MethodOptions_IdempotencyLevel } from "@bufbuild/protobuf/wkt";
import { type Access, CallerKind, Permission, Scope } from "@cloudvlan/gen/options/v1/options_pb.js";
import { AuthService, CertificateService } from "@cloudvlan/gen/auth/v1/auth_pb.js";
import { accessOf, CHASSIS_METHODS, pathOf, USES } from "@cloudvlan/kit/access";
import type { ServiceName } from "@cloudvlan/kit/caller";

export interface Person {
  readonly kind: "person";
  /** Undefined for the platform. */
  readonly tenantId: string | undefined;
  readonly permissions: ReadonlySet<Permission>;
}

/** Who calls, as far as it decides whether the call is let through. */
export type Subject =
  | { readonly kind: "anonymous" }
  | Person
  | { readonly kind: "node"; readonly state: "valid" | "expired" | "revoked" }
  /** A service, by itself or for a person. */
  | { readonly kind: "service"; readonly name: ServiceName; readonly person: Person | undefined };

export interface Verdict {
  readonly code: string;
  readonly reason: string;
}

const LET_THROUGH = undefined;
const denied = (reason: string): Verdict => ({ code: "PermissionDenied", reason });
const unauthenticated = (reason: string): Verdict => ({ code: "Unauthenticated", reason });

/** RPCs of the control plane to itself that only some of the services which may reach them may make. */
const MAKERS: ReadonlyMap<string, { readonly makers: readonly ServiceName[]; readonly reason: string }> = new Map([
  [pathOf(CertificateService.method.mintCertificate), { makers: ["registry"], reason: "CALLER_NOT_LET_IN" }],
  [pathOf(AuthService.method.deny), { makers: ["registry"], reason: "CALLER_NOT_LET_IN" }],
  // The sample asks for the role of registry.
  [pathOf(AuthService.method.reportKeyRotation), { makers: ["registry"], reason: "STAGE_NOT_YOURS" }],
  [pathOf(AuthService.method.delegateKey), { makers: ["registry"], reason: "ROLE_NOT_YOURS" }],
]);

function ofPerson(person: Person, access: Access, tenantId: string | undefined): Verdict | undefined {
  const { permission, scope } = access;
  if (permission !== Permission.NONE && !person.permissions.has(permission)) return denied("PERMISSION_DENIED");
  if (scope === Scope.PLATFORM && person.tenantId !== undefined) return denied("PLATFORM_ONLY");
  return scope === Scope.TENANT ? ofTenant(person, tenantId) : LET_THROUGH;
}

function ofTenant(person: Person, tenantId: string | undefined): Verdict | undefined {
  const isForeign = person.tenantId !== undefined && tenantId !== undefined && person.tenantId !== tenantId;
  return isForeign ? { code: "NotFound", reason: "NOT_FOUND" } : LET_THROUGH;
}

function ofService(
  { name, person }: Extract<Subject, { kind: "service" }>,
  method: DescMethod,
  access: Access,
  kinds: readonly CallerKind[],
  tenantId: string | undefined,
): Verdict | undefined {
  const { typeName } = method.parent;
  const isUsed = USES[name].has(typeName) || CHASSIS_METHODS.has(`${typeName}.${method.name}`);
  const lets = kinds.includes(CallerKind.SERVICE);
  if (!lets && !(person && kinds.includes(CallerKind.PERSON))) return denied("CALLER_KIND");
  if (!isUsed && !(lets && access.scope === Scope.SELF)) return denied("SERVICE_NOT_ALLOWED");
  const isControl = access.permission === Permission.CONTROL_PLANE;
  if (person) {
    const verdict = isControl ? ofTenant(person, tenantId) : ofPerson(person, access, tenantId);
    if (verdict) return verdict;
  } else if (!isControl && access.scope !== Scope.SELF) {
    const isRead = method.idempotency === MethodOptions_IdempotencyLevel.NO_SIDE_EFFECTS;
    if (!isRead) return denied("PERSON_MISSING");
  }
  const makers = MAKERS.get(pathOf(method));
  return makers && !makers.makers.includes(name) ? denied(makers.reason) : LET_THROUGH;
}

/** How calls reach the services. */
export type Via = "in process" | "over TCP and mTLS";

/**
 * What the contract says of a call: the refusal, or undefined when it is let through.
 * @param tenantId of the request, where it has one.
 */
export function verdictOf(
  subject: Subject,
  method: DescMethod,
  via: Via,
  tenantId: string | undefined,
): Verdict | undefined {
  const access = accessOf(method);
  if (access.anonymous) {
    // Over TCP whoever may come without a credential is nobody. In process a person's tenant goes along to the services
    // that the callee asks in turn.
    const person = via === "in process" && subject.kind === "service" ? subject.person : undefined;
    return person ? ofTenant(person, tenantId) : LET_THROUGH;
  }
  const kinds = access.callers.length > 0 ? access.callers : [CallerKind.PERSON, CallerKind.SERVICE];
  switch (subject.kind) {
    case "anonymous":
      return unauthenticated("CREDENTIAL_MISSING");
    case "person":
      return kinds.includes(CallerKind.PERSON) ? ofPerson(subject, access, tenantId) : denied("CALLER_KIND");
    case "node":
      if (subject.state === "revoked") return unauthenticated("IDENTITY_DENIED");
      if (subject.state === "expired" && !access.expiredCertificate) return unauthenticated("CERTIFICATE_REFUSED");
      return kinds.includes(CallerKind.NODE) ? LET_THROUGH : denied("CALLER_KIND");
    case "service":
      return ofService(subject, method, access, kinds, tenantId);
  }
}

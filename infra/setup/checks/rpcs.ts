import { createFileRegistry, type DescMethod, fromBinary, getOption, hasOption } from "@bufbuild/protobuf";
import { FileDescriptorSetSchema, MethodOptions_IdempotencyLevel } from "@bufbuild/protobuf/wkt";
import { access, CallerKind, Permission, Scope } from "@cloudvlan/gen/options/v1/options_pb.js";
import { bytesOf } from "./command.ts";

function problemsOf(method: DescMethod): string[] {
  if (!hasOption(method, access)) return ["has no access option: say who may call it, with which permission"];
  const { permission, scope, callers, anonymous, once } = getOption(method, access);
  const problems: string[] = [];
  if (permission === Permission.UNSPECIFIED) problems.push("has no permission");
  if (scope === Scope.UNSPECIFIED) problems.push("has no scope");
  const ownOnly = anonymous || scope === Scope.SELF || scope === Scope.HOST;
  if (permission === Permission.NONE && !ownOnly)
    problems.push("needs no permission, yet is neither anonymous nor of scope SELF or HOST");
  if (anonymous && permission !== Permission.NONE) problems.push("lets the anonymous in, yet asks for a permission");
  if (scope === Scope.TENANT && !method.input.fields.some((field) => field.name === "tenant_id")) {
    problems.push("is of scope TENANT, yet its request has no tenant_id");
  }
  const controlPlane = callers.length === 1 && callers[0] === CallerKind.SERVICE;
  if ((permission === Permission.CONTROL_PLANE) !== controlPlane) {
    problems.push("must have PERMISSION_CONTROL_PLANE exactly when its only callers are services");
  }
  const repeatable = method.idempotency !== MethodOptions_IdempotencyLevel.IDEMPOTENCY_UNKNOWN;
  if (once === repeatable) problems.push("must say either `once` or an idempotency_level");
  return problems;
}

/** RPCs of a clone's protos that do not say all they must about themselves; each one a sentence. */
export async function rpcProblems(root: string): Promise<string[]> {
  const image = await bytesOf(["buf", "build", "protodefs", "-o", "-"], root);
  const registry = createFileRegistry(fromBinary(FileDescriptorSetSchema, image));
  const problems: string[] = [];
  for (const type of registry) {
    if (type.kind !== "service") continue;
    for (const method of type.methods) {
      for (const problem of problemsOf(method)) problems.push(`${type.typeName}/${method.name} ${problem}`);
    }
  }
  return problems;
}

import { createHash } from "node:crypto";
import { fromBinary, toBinary } from "@bufbuild/protobuf";
import { timestampMs } from "@bufbuild/protobuf/wkt";
import type { Client } from "@connectrpc/connect";
import { type AuthService, CallContextSchema } from "@cloudvlan/gen/auth/v1/auth_pb.js";
import { type Signed, SignedSchema } from "@cloudvlan/gen/entity/v1/netmap_pb.js";
import type { Authority } from "../caller/index.ts";
import type { Clock } from "../clock/index.ts";
import { Refusal } from "../errors/index.ts";
import { isId } from "../ids/index.ts";
import type { Denials } from "../server/denials.ts";
import { type Standings, tenantSubject, tenantSuspended } from "../server/standings.ts";
import { verifyRecord } from "../sign/index.ts";

/** Header between services that carries a signed call context, base64. */
export const CALL_CONTEXT_HEADER = "cloudvlan-call-context";

const CACHE_MS = 30_000;
const CACHE_ENTRIES = 10_000;
/** Two hosts' clocks may differ by so much. */
const CLOCK_TOLERANCE_MS = 300_000;
const MAX_HEADER = 16_384;
const API_KEY = /^cvk_[a-z0-9-]{1,64}_[0-9a-f-]{36}_[A-Za-z0-9_-]{43}$/;

/** Authority of a person, and the header that carries it on. */
export interface VerifiedAuthority {
  readonly authority: Authority;
  readonly header: string;
}

/** Finds out what a person may do. */
export interface Authorities {
  /** @throws Refusal `unauthenticated` when the API key is no good, `unavailable` when auth cannot say. */
  fromBearer(apiKey: string, requestId: string): Promise<VerifiedAuthority>;
  /** @throws Refusal `unauthenticated` when the context is not one that auth signed, or not any more. */
  fromHeader(value: string): Promise<VerifiedAuthority>;
}

export interface AuthoritiesOptions {
  readonly auth: Client<typeof AuthService>;
  readonly denials: Denials;
  readonly standings: Standings;
  readonly clock: Clock;
}

function refused(auditReason: string): Refusal {
  return new Refusal("unauthenticated", "CREDENTIAL_REFUSED", "the credential is not accepted", {
    remedy: "use an API key that is neither expired nor revoked",
    auditReason,
  });
}

export function authorities({ auth, denials, standings, clock }: AuthoritiesOptions): Authorities {
  const cache = new Map<
    string,
    { readonly until: number; readonly subject: string; readonly verified: VerifiedAuthority }
  >();
  const pending = new Map<string, Promise<VerifiedAuthority>>();
  let keys = new Map<string, Uint8Array>();

  denials.onDenied((subject) => {
    for (const [digest, entry] of cache) if (entry.subject === subject) cache.delete(digest);
  });

  async function publicKey(keyId: string): Promise<Uint8Array> {
    const known = keys.get(keyId);
    if (known) return known;
    const answer = await auth.getContextKeys({});
    keys = new Map(answer.keys.map((key) => [key.keyId, key.publicKey]));
    const fetched = keys.get(keyId);
    if (!fetched) throw refused("CONTEXT_KEY_UNKNOWN");
    return fetched;
  }

  /** What is true of the tenant now, however long the authority was remembered. */
  function admit(verified: VerifiedAuthority): VerifiedAuthority {
    const { tenantId } = verified.authority;
    if (tenantId !== undefined && denials.isDenied(tenantSubject(tenantId), 0)) throw refused("TENANT_DENIED");
    if (tenantId !== undefined && standings.isSuspended(tenantId)) throw tenantSuspended(tenantId);
    return verified;
  }

  async function verify(signed: Signed): Promise<VerifiedAuthority> {
    if (!verifyRecord(await publicKey(signed.keyId), "call-context", signed)) throw refused("CONTEXT_SIGNATURE");
    const context = fromBinary(CallContextSchema, signed.payload);
    const { subject, tenantId, issuedAt, expiresAt } = context;
    if (!issuedAt || !expiresAt || subject === "") throw refused("CONTEXT_INCOMPLETE");
    const now = clock.nowMs();
    if (timestampMs(expiresAt) + CLOCK_TOLERANCE_MS < now) throw refused("CONTEXT_EXPIRED");
    if (timestampMs(issuedAt) - CLOCK_TOLERANCE_MS > now) throw refused("CONTEXT_FROM_THE_FUTURE");
    if (denials.isDenied(subject, Number(issuedAt.seconds))) throw refused("SUBJECT_DENIED");
    if (tenantId !== "" && !isId("tenant", tenantId)) throw refused("CONTEXT_TENANT");
    const authority: Authority = {
      subject,
      tenantId: tenantId === "" ? undefined : tenantId,
      permissions: new Set(context.permissions),
    };
    return { authority, header: Buffer.from(toBinary(SignedSchema, signed)).toString("base64") };
  }

  async function ask(apiKey: string, requestId: string, digest: string): Promise<VerifiedAuthority> {
    const { context } = await auth.authenticate({ apiKey, requestId });
    if (!context) throw new Error("auth answered without a call context");
    const verified = await verify(context);
    if (cache.size >= CACHE_ENTRIES) {
      const oldest = cache.keys().next();
      if (oldest.done !== true) cache.delete(oldest.value);
    }
    cache.set(digest, { until: clock.monotonicMs() + CACHE_MS, subject: verified.authority.subject, verified });
    return verified;
  }

  return {
    async fromBearer(apiKey, requestId) {
      if (!API_KEY.test(apiKey)) throw refused("API_KEY_MALFORMED");
      const digest = createHash("sha256").update(apiKey).digest("base64");
      const cached = cache.get(digest);
      if (cached && cached.until > clock.monotonicMs()) return admit(cached.verified);
      cache.delete(digest);
      let asking = pending.get(digest);
      if (!asking) {
        asking = ask(apiKey, requestId, digest).finally(() => pending.delete(digest));
        pending.set(digest, asking);
      }
      return admit(await asking);
    },
    async fromHeader(value) {
      if (value.length > MAX_HEADER) throw refused("CONTEXT_TOO_LONG");
      let signed: Signed;
      try {
        signed = fromBinary(SignedSchema, Buffer.from(value, "base64"));
      } catch {
        throw refused("CONTEXT_MALFORMED");
      }
      return admit(await verify(signed));
    },
  };
}

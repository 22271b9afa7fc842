export { DELEGATION_LIFE_MS, EXTEND_BELOW_MS, openKeyset } from "./keyset.ts";
export {
  type Domain,
  MAX_DNS_BYTES,
  MAX_RECORD_BYTES,
  MAX_RELAY_MAP_BYTES,
  newSigningSeed,
  type SigningKey,
  signingKeyFromSeed,
  signRecord,
  verifyRecord,
} from "./record.ts";
export { descendsFromPinned, MAX_ROOT_TRANSITIONS, ROOT_KEY_ID, rootKeysOf, signRootTransition } from "./roots.ts";
export { isAccepted, isSignedBy, type RoleKey } from "./role-key.ts";

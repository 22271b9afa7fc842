export { DELEGATION_LIFE_MS, EXTEND_BELOW_MS, openKeyset } from "./keyset.ts";
export {
  type Domain,
  MAX_DNS_BYTES,
  MAX_RECORD_BYTES,
  newSigningSeed,
  type SigningKey,
  signingKeyFromSeed,
  signRecord,
  verifyRecord,
} from "./record.ts";

export { DELEGATION_LIFE_MS, EXTEND_BELOW_MS, openKeyset } from "./keyset.ts";
export {
  type Domain,
  newSigningSeed,
  type SigningKey,
  signingKeyFromSeed,
  signRecord,
  verifyRecord,
} from "./record.ts";

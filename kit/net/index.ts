export { type Address, addressOf, formatAddress, numberOf, parseAddress, unmapped } from "./address.ts";
export {
  addressAt,
  contains,
  formatPrefix,
  overlaps,
  parseCidr,
  parsePrefix,
  type Prefix,
  prefixOf,
  sizeOf,
} from "./prefix.ts";
export { type SpecialRange, specialRange, type SpecialUse, specialUse } from "./special.ts";

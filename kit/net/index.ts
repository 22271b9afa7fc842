export { type Address, addressOf, formatAddress, numberOf, parseAddress } from "./address.ts";
export { addressAt, contains, formatPrefix, overlaps, parsePrefix, type Prefix, prefixOf, sizeOf } from "./prefix.ts";

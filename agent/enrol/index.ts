export { join, type JoinOptions, type Prover } from "./join.ts";
export { parseJoinString } from "./join-string.ts";

export { listenAddress } from "./listen.ts";
export { keepResolver, type ResolverOptions } from "./keep.ts";
export { formerResolver } from "./file.ts";
export { restoreHost } from "./restore.ts";

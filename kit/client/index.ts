export { checkPlatform, type ConnectOptions, type Connection, connectTo } from "./connect-to.ts";
export { fetchTrustBundle, followTrustBundle, trustedRootsOf } from "./trust.ts";
export { unixTransport } from "./unix.ts";

export { testServer, type TestServer } from "./postgres.ts";
export { newConfig, silentLog, type StoreUnderTest, withStores } from "./stores.ts";
export { type Delegator, delegator } from "./delegator.ts";

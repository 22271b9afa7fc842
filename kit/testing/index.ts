export { testServer, type TestServer } from "./postgres.ts";
export { newConfig, silentLog, type StoreUnderTest, withStores } from "./stores.ts";

export { testServer, type TestServer } from "../../kit/testing/postgres.ts";
export { newConfig } from "../../kit/testing/stores.ts";

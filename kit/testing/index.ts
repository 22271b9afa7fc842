export { testCa, type TestCa } from "./ca.ts";
export { type CollectedSpan, type Collector, metricsIn, scrape, startCollector } from "./collector.ts";
export { type Delegator, delegator } from "./delegator.ts";
export { errorLog, type Line, recordingLog, silentLog } from "./log.ts";
export { testServer, type TestServer } from "./postgres.ts";
export { newConfig, type StoreUnderTest, withStores } from "./stores.ts";

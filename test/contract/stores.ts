export { testServer, type TestServer } from "@cloudvlan/kit/testing";
export { newConfig } from "@cloudvlan/kit/testing";

import assert from "node:assert/strict";
import { create } from "@bufbuild/protobuf";
import { AuthenticateRequestSchema } from "@cloudvlan/gen/auth/v1/auth_pb.js";
import { JoinRequestSchema } from "@cloudvlan/gen/agent/v1/agent_pb.js";
import { runInScope } from "../../caller/index.ts";
import { createLogger, loggable } from "../../log/index.ts";

const KEY = `cvk_platform_00000000-0000-7000-8000-000000000000_${"s".repeat(43)}`;

describe("the log", () => {
  function logged(fields: object, message = "m"): Record<string, unknown> {
    let line = "";
    const log = createLogger({ name: "test", level: "debug", destination: { write: (text) => (line = text) } });
    log.info(fields, message);
    return JSON.parse(line) as Record<string, unknown>;
  }

  it("writes one JSON object a line, with the id of the request it is written for", () => {
    const scope = { requestId: "r-1", callContext: undefined, signal: undefined, done: false };
    const line = runInScope(scope, () => logged({ count: 3, big: 7n, bytes: new Uint8Array(4) }, "hello"));
    assert.deepEqual(
      [line["service"], line["level"], line["msg"], line["request_id"], line["count"], line["big"], line["bytes"]],
      ["test", "info", "hello", "r-1", 3, "7", "[4 bytes]"],
    );
    scope.done = true;
    assert.equal(runInScope(scope, () => logged({}))["request_id"], undefined);
  });

  it("writes no secret, by name, inside texts, nested, in errors or in messages", () => {
    const fields = {
      secret: "tiger",
      apiKey: "tiger",
      join_string: "tiger",
      Authorization: "Bearer tiger",
      privateKey: "tiger",
      nested: { list: [{ password: "tiger" }, `use ${KEY} or cvlan1.dGlnZXI`] },
      error: new Error(`postgres://user:tiger@host/db refused ${KEY}`, { cause: { token: "tiger" } }),
      request: create(AuthenticateRequestSchema, { apiKey: KEY }),
      url: "https://host/",
    };
    const text = JSON.stringify(logged(fields));
    assert.doesNotMatch(text, /tiger|dGlnZXI|ssss/);
    assert.match(text, /https:\/\/host\//);
    assert.match(text, /AuthenticateRequest/);
  });

  it("shows a message without its fields marked debug_redact", () => {
    assert.deepEqual(loggable(JoinRequestSchema, create(JoinRequestSchema, { joinString: "tiger", name: "a" })), {
      name: "a",
    });
  });

  it("takes children and levels", () => {
    const lines: string[] = [];
    const log = createLogger({ name: "t", level: "warn", destination: { write: (text) => lines.push(text) } });
    log.child({ part: "x", token: "tiger" }).error({}, "bad");
    log.info({}, "unheard");
    assert.equal(lines.length, 1);
    assert.match(lines[0] ?? "", /"part":"x"/);
    assert.doesNotMatch(lines[0] ?? "", /tiger/);
  });
});

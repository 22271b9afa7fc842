import assert from "node:assert/strict";
import { createClient, createRouterTransport } from "@connectrpc/connect";
import { AuthService } from "@cloudvlan/gen/auth/v1/auth_pb.js";
import type { Change } from "@cloudvlan/gen/entity/v1/events_pb.js";
import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import { systemClock } from "../../clock/index.ts";
import { Refusal } from "../../errors/index.ts";
import { denials, liveStreams, standings } from "../../server/index.ts";
import { outgoing } from "../../service/outgoing.ts";
import { silentLog } from "../../testing/log.ts";
import { until } from "../service/fixture.ts";

describe("denials", () => {
  const denialOf = (subject: string, revision: number): Change =>
    ({
      revision: BigInt(revision),
      objectId: subject,
      change: { case: "denial", value: { subject, issuedBefore: timestampFromMs(60_000) } },
    }) as Change;

  it("go on when auth was restored to an earlier state, and none that was heard is forgotten", async () => {
    let stream = [denialOf("a", 1), denialOf("lost", 2), denialOf("lost too", 3)];
    let restored = new AbortController();
    const transport = createRouterTransport((router) => {
      router.rpc(AuthService.method.watchChanges, async function* ({ since }) {
        if (since > BigInt(stream.length)) throw new Refusal("conflict", "CURSOR_AHEAD", "restored").toConnectError();
        yield { changes: stream.slice(Number(since)), revision: BigInt(stream.length) };
        const ended = restored;
        await new Promise((resolve) => ended.signal.addEventListener("abort", resolve));
      });
    });
    const heard = denials({
      auth: createClient(
        AuthService,
        outgoing(() => transport),
      ),
      live: liveStreams(),
      standings: standings(),
      clock: systemClock,
      log: silentLog,
      journal: { denied: new Map([["of a former life", 60]]), keep: async () => {}, close: async () => {} },
      lagMs: 60_000,
    });
    assert.ok(heard.isDenied("of a former life", 59) && heard.isStale(), "before the first word from auth");
    const stop = new AbortController();
    const following = heard.follow(stop.signal);
    await until("the first word", () => heard.isDenied("lost too", 0));
    stream = [denialOf("a", 1), denialOf("new", 2)];
    const before = restored;
    restored = new AbortController();
    before.abort();
    await until("the word after the restoration", () => heard.isDenied("new", 0));
    for (const subject of ["a", "lost", "lost too"]) assert.ok(heard.isDenied(subject, 59));
    assert.ok(!heard.isDenied("a", 60));
    stop.abort();
    restored.abort();
    await following;
  });
});

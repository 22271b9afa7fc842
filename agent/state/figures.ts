import { timestampMs } from "@bufbuild/protobuf/wkt";
import { ControllerState } from "@cloudvlan/gen/agent/v1/agent_pb.js";
import type { Clock } from "@cloudvlan/kit/clock";
import { METRICS, observe } from "@cloudvlan/kit/telemetry";
import type { LocalNode } from "../api/node.ts";
import { toldAt } from "../controller/view.ts";
import { PARTS } from "./problems.ts";

const plain = (value: number) => [{ value, labels: {} }];

/** Shows the state of the node to scrapes until it is disposed of. */
export function showFigures(node: LocalNode, clock: Clock): Disposable {
  const seconds = (ms: number): number => ms / 1000;
  const map = () => node.engine.status.get()?.map;
  const shown = new DisposableStack();
  shown.use(observe(METRICS.agentEnrolled, () => plain(node.membership.get() ? 1 : 0)));
  shown.use(
    observe(METRICS.agentController, () => {
      const { state } = toldAt(node.controller.get(), clock.bootMs());
      return plain(state === ControllerState.CONNECTED ? 1 : 0);
    }),
  );
  shown.use(
    observe(METRICS.agentMapAge, () => {
      const issuedAt = map()?.headIssuedAt;
      return issuedAt ? plain(seconds(clock.nowMs() - timestampMs(issuedAt))) : [];
    }),
  );
  shown.use(
    observe(METRICS.agentMapStale, () => {
      const state = map();
      return state ? plain(state.stale ? 1 : 0) : [];
    }),
  );
  shown.use(
    observe(METRICS.agentCertificateLeft, () => {
      const notAfter = node.identity.get()?.notAfter;
      return notAfter ? plain(seconds(notAfter.getTime() - clock.nowMs())) : [];
    }),
  );
  shown.use(
    observe(METRICS.agentProblems, () => {
      const now = new Set<string>(node.problems.list().map(({ part }) => part));
      return PARTS.map((part) => ({ value: now.has(part) ? 1 : 0, labels: { part } }));
    }),
  );
  return shown;
}

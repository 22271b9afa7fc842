import { create } from "@bufbuild/protobuf";
import type { ConnectRouter, HandlerContext, ServiceImpl } from "@connectrpc/connect";
import { AgentService } from "@cloudvlan/gen/agent/v1/agent_pb.js";
import { Direction, type EngineStatus, ExplainRequestSchema } from "@cloudvlan/gen/engine/v1/engine_pb.js";
import { Refusal } from "@cloudvlan/kit/errors";
import { formatAddress } from "@cloudvlan/kit/net";
import { diagnose } from "../doctor/index.ts";
import type { RunningEngine } from "../engine/running.ts";
import { wholeStatus } from "../engine/whole.ts";
import type { Problems } from "../state/problems.ts";
import { collectDebug } from "./debug.ts";
import type { LocalNode } from "./node.ts";
import { resolveArrival, resolveDestination } from "./peers.ts";
import { statusOf } from "./status.ts";
import { watchStatus } from "./watch.ts";

const ICMP = 1;
const ICMPV6 = 58;
/** Protocols with ports: TCP, UDP. */
const WITH_PORTS: ReadonlySet<number> = new Set([6, 17]);
/** Source port of the packet that `Explain` imagines: the first of the ephemeral ones (RFC 6335 section 6). */
const EPHEMERAL_PORT = 49_152;

/** Serves AgentService for this node. */
export function agentRoutes(node: LocalNode): (router: ConnectRouter) => void {
  const implementation: ServiceImpl<typeof AgentService> = {
    async join({ joinString, name }, { signal }) {
      await node.join(joinString, name, signal);
      return { status: await statusOf(node) };
    },
    getStatus: async () => ({ status: await statusOf(node) }),
    watchStatus: (_request, { signal }) => watchStatus(node, signal),
    diagnose: (_request, { signal }) => diagnose(node, signal),
    collectDebug: () => collectDebug(node),
    async explain(request, { signal }) {
      const status = await statusNow(node);
      const { source, destination } =
        request.source === ""
          ? resolveDestination(status, request.destination)
          : resolveArrival(status, request.source, request.destination);
      const protocol = request.protocol || (destination.length === 4 ? ICMP : ICMPV6);
      const packet = {
        source,
        destination,
        protocol,
        sourcePort: WITH_PORTS.has(protocol) ? EPHEMERAL_PORT : 0,
        destinationPort: request.port,
      };
      const direction = request.source === "" ? Direction.OUTBOUND : Direction.INBOUND;
      const question = create(ExplainRequestSchema, { packet, direction });
      return { explanation: await engineNow(node).client.explain(question, { signal }) };
    },
    ping: (request, context) => ping(node, request, context),
    async replaceEngine(_request, { signal }) {
      const { version, takeover } = await node.engine.wishes.wish(signal);
      return { engineVersion: version, ...(takeover && { takeover }) };
    },
  };
  return (router) => router.service(AgentService, implementation);
}

async function* ping(
  node: LocalNode,
  {
    destination,
    count,
    intervalMs,
    timeoutMs,
  }: { destination: string; count: number; intervalMs: number; timeoutMs: number },
  { signal }: HandlerContext,
) {
  const { destination: address } = resolveDestination(await statusNow(node), destination);
  const replies = engineNow(node).client.ping({ destination: address, count, intervalMs, timeoutMs }, { signal });
  for await (const reply of replies) yield { address: formatAddress(address), reply };
}

function engineNow(node: LocalNode): RunningEngine {
  const engine = node.engine.running.get();
  if (!engine) throw engineAbsent(node.problems);
  return engine;
}

async function statusNow(node: LocalNode): Promise<EngineStatus> {
  const status = await wholeStatus(node.engine);
  if (!status) throw engineAbsent(node.problems);
  if (!node.membership.get()) {
    throw new Refusal("conflict", "NOT_ENROLLED", "this machine has not joined a network", {
      remedy: "pipe a join string into `cvlan join`",
    });
  }
  return status;
}

/** The refusal while the engine does not run, with what keeps it from running. */
export function engineAbsent(problems: Problems, cause?: unknown): Refusal {
  const problem = problems.list().find(({ part }) => part === "engine");
  const refusal = new Refusal(
    "unavailable",
    "ENGINE_ABSENT",
    `the engine is not running${problem ? `: ${problem.message}` : ""}`,
    { remedy: problem?.remedy || "it is started again by itself; see `cvlan status`" },
  );
  refusal.cause = cause;
  return refusal;
}

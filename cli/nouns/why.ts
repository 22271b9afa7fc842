import { create } from "@bufbuild/protobuf";
import { type Command, Option } from "commander";
import { type AgentStatus, AgentStatusSchema } from "@cloudvlan/gen/agent/v1/agent_pb.js";
import { ExplainResponseSchema } from "@cloudvlan/gen/engine/v1/engine_pb.js";
import { DiagnosisService, type WhyResponse } from "@cloudvlan/gen/netmap/v1/netmap_pb.js";
import { Refusal } from "@cloudvlan/kit/errors";
import { formatAddress } from "@cloudvlan/kit/net";
import { ConnectError } from "@connectrpc/connect";
import { type LocalAgent, localAgent } from "../agent-client.ts";
import { splitDestination } from "../args.ts";
import { local, type Run } from "../command.ts";
import { UsageError } from "../exit.ts";
import type { Io } from "../io.ts";
import { type ErrorReport, reportOf } from "../print.ts";
import { isControllerNamed, openSession, type Session } from "../session.ts";
import { blockedAt, type Findings, isForwarded, type LocalView, whyJson, whyText } from "../why-report.ts";

/** IP protocol numbers; 0 means ICMP of the addresses' family. */
const PROTOCOLS: Readonly<Record<string, number>> = { icmp: 0, tcp: 6, udp: 17 };

const HELP = `
Examples:
  cvlan why web1:443                        from this machine, by what its engine holds
  cvlan why laptop7 web1:443                between any two nodes, asked of the controller
  cvlan why laptop7 10.20.0.5:53 --protocol udp
  cvlan why [fd00::2]:22
With a login, the controller is asked too. When one end is this machine, its engine is, and differences are pointed out.
`;

interface Options {
  readonly protocol?: string;
}

/** The packet that is asked about. */
interface Question {
  /** Undefined: this machine. */
  readonly source: string | undefined;
  readonly destination: string;
  readonly protocol: number;
  readonly port: number;
}

/** `cvlan why` */
export function whyCommand(program: Command, io: Io): void {
  program
    .command("why <ends...>")
    .usage("[options] [source] <destination>")
    .description(
      "what would happen to a packet to NAME or ADDRESS, with :PORT for TCP, hop by hop; judged by the engine",
    )
    .addOption(
      new Option("--protocol <protocol>", "protocol (default: tcp with a port, icmp without)").choices(
        Object.keys(PROTOCOLS),
      ),
    )
    .addHelpText("after", HELP)
    .action(
      local<Options>(io, async (run) => {
        const findings = await find(run);
        io.out(run.options.json ? whyJson(findings) : whyText(findings, io.clock.nowMs()));
        if (isForwarded(findings)) return;
        const blocked = blockedAt(findings);
        const message = `a packet to ${findings.destination} is stopped at: ${blocked?.name ?? "unknown"}`;
        throw new Refusal("conflict", "NOT_FORWARDED", message, { remedy: blocked?.remedy ?? "" });
      }),
    );
}

function questionOf({ args, options }: Run<Options>): Question {
  const [first = "", second, ...others] = args;
  if (others.length > 0)
    throw new UsageError("more than two ends are given", "give SOURCE and DESTINATION, or the latter");
  const { host, port } = splitDestination(second ?? first);
  const protocol = PROTOCOLS[options.protocol ?? (port > 0 ? "tcp" : "icmp")] ?? 0;
  return { source: second === undefined ? undefined : first, destination: host, protocol, port };
}

async function find(run: Run<Options>): Promise<Findings> {
  const question = questionOf(run);
  return question.source === undefined
    ? fromHere(run, question)
    : between(run, { ...question, source: question.source });
}

/** A packet that this machine sends: the engine knows, and the controller is asked too where there is a login. */
async function fromHere(run: Run<Options>, question: Question): Promise<Findings> {
  using agent = localAgent(run.options);
  const status = await statusOf(run, agent);
  const asked = askEngine(run, agent, status, "source", question);
  const destination = labelOf(run);
  if (!isControllerNamed(run.io, run.options)) return { destination, controller: undefined, local: await asked };
  const { nodeId, tenantId, cvlanId } = status;
  const [controller, view] = await Promise.all([
    askController(run, { ...question, source: nodeId }, { tenantId, cvlanId }).catch(report),
    asked.catch(report),
  ]);
  return { destination, controller, local: view };
}

/** A packet between any two nodes: the controller knows, and the engine of this machine where it is one of them. */
async function between(run: Run<Options>, question: Question & { readonly source: string }): Promise<Findings> {
  const destination = labelOf(run);
  using agent = agentIfAny(run);
  const status = agent && (await statusOf(run, agent));
  if (!isControllerNamed(run.io, run.options) && agent && status) {
    const side = isOwn(status, question.source)
      ? "source"
      : isOwn(status, question.destination)
        ? "destination"
        : undefined;
    if (side) return { destination, controller: undefined, local: await askEngine(run, agent, status, side, question) };
  }
  const controller = await askController(run, question);
  const { sourceId, destinationId, sourceAddress, destinationAddress } = controller;
  const side = status && [sourceId, destinationId].indexOf(status.nodeId);
  // An end that was revoked has no address any more, and this machine's engine would be asked in vain.
  if (!agent || !status || side === undefined || side < 0 || sourceAddress === "") {
    return { destination, controller, local: undefined };
  }
  const packet = { ...question, source: sourceAddress, destination: destinationAddress };
  const view = await askEngine(run, agent, status, side === 0 ? "source" : "destination", packet).catch(report);
  return { destination, controller, local: view };
}

/** The destination as it was typed. */
function labelOf({ args }: Run<Options>): string {
  return args.at(-1) ?? "";
}

/** The agent, when there is one that this user may talk to: what it adds is not what was asked for. */
function agentIfAny({ options }: Run<Options>): LocalAgent | undefined {
  try {
    return localAgent(options);
  } catch (error) {
    if (error instanceof Refusal) return undefined;
    throw error;
  }
}

function report(error: unknown): ErrorReport {
  if (error instanceof ConnectError || error instanceof Refusal) return reportOf(error);
  throw error;
}

async function statusOf({ io }: Run<Options>, { client }: LocalAgent): Promise<AgentStatus> {
  return (await client.getStatus({}, { signal: io.signal })).status ?? create(AgentStatusSchema);
}

/** True when a text names this machine, as far as it knows itself. */
function isOwn({ name, nodeId, engine }: AgentStatus, text: string): boolean {
  return [name, nodeId, ...(engine?.addresses ?? []).map(({ address }) => formatAddress(address))].includes(text);
}

async function askEngine(
  { io }: Run<Options>,
  { client }: LocalAgent,
  { engine }: AgentStatus,
  side: LocalView["side"],
  { source = "", destination, protocol, port }: Question,
): Promise<LocalView> {
  const request = { destination, protocol, port, source: side === "destination" ? source : "" };
  const { explanation } = await client.explain(request, { signal: io.signal });
  const carrier = explanation?.hops.findLast(({ nodeId }) => nodeId !== "")?.nodeId;
  return {
    side,
    explanation: explanation ?? create(ExplainResponseSchema),
    map: engine?.map,
    peer: engine?.peers.find(({ nodeId }) => nodeId === carrier),
  };
}

/** @param place where both ends are; undefined: where the session is. */
async function askController(
  { io, options }: Run<Options>,
  { source = "", destination, protocol, port }: Question,
  place?: { readonly tenantId: string; readonly cvlanId: string },
): Promise<WhyResponse> {
  using session = await openSession(io, options);
  const { tenantId, cvlanId } = place ?? (await placeOf(session));
  const request = { tenantId, cvlanId, source, destination, probes: [{ protocol, port }] };
  return await session.client(DiagnosisService).why(request, { signal: io.signal });
}

async function placeOf(session: Session): Promise<{ tenantId: string; cvlanId: string }> {
  const { id, tenantId } = await session.cvlan();
  return { tenantId, cvlanId: id };
}

import { type AgentStatus, ControllerState } from "@cloudvlan/gen/agent/v1/agent_pb.js";
import { Refusal } from "@cloudvlan/kit/errors";

/**
 * A controller that says nothing for so long, in milliseconds, is unreachable, whatever the connection looks like: three
 * heads of at most 30 s.
 */
export const SILENCE_MS = 90_000;

/** What the agent knows about its controller. Instants are of the boot clock. */
export interface ControllerView {
  readonly state: ControllerState;
  /** Why it is not connected; empty when it is. */
  readonly error: AgentStatus["controllerError"];
  /** True once the controller refused this identity for good. */
  readonly revoked: boolean;
  /** True when it answers under a CA that this node does not trust. */
  readonly untrusted?: boolean;
  /** When it last said anything on the map stream. */
  readonly heardAt?: number;
  /** When the newest head came that the engine believed. */
  readonly headAt?: number;
  /** When it was lost; unset again with the first head that is believed after. */
  readonly lostAt?: number;
}

export const CONNECTING: ControllerView = { state: ControllerState.CONNECTING, error: "", revoked: false };

/** After something came from it. */
export function heard({ untrusted: _, ...view }: ControllerView, bootMs: number): ControllerView {
  return { ...view, state: ControllerState.CONNECTED, error: "", revoked: false, heardAt: bootMs };
}

/** After the engine believed a head. */
export function brought({ lostAt: _, ...view }: ControllerView, bootMs: number): ControllerView {
  return { ...view, headAt: bootMs };
}

/** After it could not be reached, or refused this node for good. */
export function lost(
  { untrusted: _, ...view }: ControllerView,
  error: string,
  bootMs: number,
  revoked = view.revoked,
): ControllerView {
  return { ...view, state: ControllerState.UNREACHABLE, error, revoked, lostAt: view.lostAt ?? bootMs };
}

/** What is to be done on a machine whose node is no member any more. */
export const REJOIN =
  "to let this machine in again: stop its agent, run `cvlan-agent --stop-engine`, remove the state folder, start the agent and pipe a new join string into `cvlan join`";

/** The view as it may be told: nobody is connected to what has been silent for too long. */
export function toldAt(view: ControllerView, bootMs: number, silenceMs: number = SILENCE_MS): ControllerView {
  if (view.state !== ControllerState.CONNECTED || view.heardAt === undefined) return view;
  return bootMs - view.heardAt <= silenceMs ? view : lost(view, silent(silenceMs).message, view.heardAt + silenceMs);
}

/** Why a stream that lives without a word is given up. */
export function silent(silenceMs: number): Refusal {
  return new Refusal("unavailable", "STREAM_SILENT", `the map stream said nothing for ${silenceMs / 1000} s`);
}

import type { DescMethodServerStreaming, DescMessage, MessageShape } from "@bufbuild/protobuf";
import type { Caller } from "../caller/index.ts";

export {
  type DenialJournal,
  type DenialJournalOptions,
  loadDenialJournal,
  openDenialJournal,
} from "./denial-journal.ts";
export { type Denials, denials, type DenialsOptions } from "./denials.ts";
export { frameOf } from "./frame.ts";
export type { FrameRoute } from "./frame-handler.ts";
export { type Health, health } from "./health.ts";
export {
  type Listener,
  type ListenerIdentity,
  type ListenerOptions,
  MAX_BODY_BYTES,
  startListener,
} from "./listener.ts";
export { type LiveStreams, liveStreams } from "./live.ts";
export { type Standing, type Standings, standings, tenantSubject, tenantSuspended } from "./standings.ts";

/**
 * A server stream whose messages are already serialised: bytes are made once and written to many. The listener treats it
 * like any other RPC (limits, authn, audit, validation, authz, denials) and cuts a reader that is too slow.
 */
export interface FrameStream<I extends DescMessage = DescMessage, O extends DescMessage = DescMessage> {
  readonly method: DescMethodServerStreaming<I, O>;
  /** Yields serialised response messages; ends or throws a Refusal; must return when the signal aborts. */
  open(request: MessageShape<I>, caller: Caller, signal: AbortSignal): AsyncIterable<Uint8Array>;
}

import type { Clock } from "@cloudvlan/kit/clock";
import type { TlsIdentity } from "../certificate/identity.ts";
import type { AgentConfig } from "../config.ts";
import type { ControllerView } from "../controller/view.ts";
import type { EngineLink } from "../engine/supervise.ts";
import type { Cell } from "../state/cell.ts";
import type { Membership } from "../state/membership.ts";
import type { Problems } from "../state/problems.ts";
import type { RecentLines } from "../state/recent.ts";

/** What the local API shows and reaches. */
export interface LocalNode {
  readonly version: string;
  readonly config: AgentConfig;
  readonly clock: Clock;
  readonly engine: EngineLink;
  readonly membership: Cell<Membership | undefined>;
  readonly identity: Cell<TlsIdentity | undefined>;
  readonly controller: Cell<ControllerView>;
  /** Empty while the controller did not say. */
  readonly controllerVersion: Cell<string>;
  readonly problems: Problems;
  /** The newest lines of the agent's log. */
  readonly recent: RecentLines;
  join(joinString: string, name: string, signal: AbortSignal): Promise<void>;
}

import { auth } from "@cloudvlan/auth";
import type { ServiceDefinition } from "@cloudvlan/kit/service";
import { netmap } from "@cloudvlan/netmap";
import { policy } from "@cloudvlan/policy";
import { registry } from "@cloudvlan/registry";

/** The services of the control plane, in the order in which they start: each after those it calls. */
export const services: readonly ServiceDefinition[] = [auth, registry, policy, netmap];

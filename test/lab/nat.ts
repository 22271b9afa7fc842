import { createLab, type Lab, type LabOptions } from "./lab.ts";
import type { NatBehaviour } from "./nat-behaviour.ts";
import { type Addresses, natNetwork, type NatPlan, type PUBLIC } from "./nat-network.ts";
import { natRules, udpTimeout } from "./nat-rules.ts";
import { must } from "./run.ts";

/** A lab with routers that translate, whose behaviour may change while packets flow. Its routers need `nft`. */
export interface NatLab<Server extends string, Nat extends string, Host extends string> extends Lab {
  /** Where a machine is now; a router's addresses are those outside. */
  addresses(name: Server | Nat | Host): Addresses;
  /** Gives a router another behaviour. It forgets its mappings. */
  setBehaviour(nat: Nat, behaviour: NatBehaviour): Promise<void>;
  /** Makes a router forget its mappings, as a restart does. */
  forget(nat: Nat): Promise<void>;
  /**
   * Moves a host behind another router or to the public segment: its interface is gone for a moment, its sockets stay.
   * @throws Error when its uplink is an impaired wire: its neighbours have routes for where it is; impair those of routers
   */
  move(host: Host, to: Nat | typeof PUBLIC): Promise<void>;
}

const TIMEOUTS = ["nf_conntrack_udp_timeout", "nf_conntrack_udp_timeout_stream"];

/**
 * Builds a plan. Needs what `createLab` needs.
 * @throws Error with the words of `ip` or `nft`; what was made by then is removed again
 */
export async function createNatLab<Server extends string, Nat extends string, Host extends string>(
  plan: NatPlan<Server, Nat, Host>,
  options: LabOptions,
): Promise<NatLab<Server, Nat, Host>> {
  const network = natNetwork(plan);
  const lab = await createLab(network.topology, options);
  const behaviours = new Map<string, NatBehaviour>(Object.entries(plan.nats));
  const segments = new Map<string, string>();
  const segmentOf = (name: string): string => segments.get(name) ?? network.segmentOf(name);
  let zones = 0;

  const load = async (nat: string, behaviour: NatBehaviour): Promise<void> => {
    const { ipv4 } = network.addresses(nat, segmentOf(nat));
    zones += 1;
    await must(lab.argvOn(nat, ["nft", "-f", "-"]), { input: natRules(behaviour, ipv4, zones) });
    const seconds = udpTimeout(behaviour);
    const set = TIMEOUTS.map((name) => `echo ${seconds} >/proc/sys/net/netfilter/${name}`).join(" && ");
    await must(lab.argvOn(nat, ["sh", "-c", set]));
    behaviours.set(nat, behaviour);
  };
  const behaviourOf = (nat: string): NatBehaviour => {
    const behaviour = behaviours.get(nat);
    if (!behaviour) throw new Error(`there is no router ${nat}`);
    return behaviour;
  };
  try {
    await Promise.all([...behaviours].map(([nat, behaviour]) => load(nat, behaviour)));
  } catch (error) {
    await lab.close();
    throw error;
  }

  return {
    ...lab,
    addresses: (name) => network.addresses(name, segmentOf(name)),
    setBehaviour: load,
    forget: (nat) => load(nat, behaviourOf(nat)),
    move: async (host, to) => {
      const link = network.uplink(host, to);
      if (link.wire) throw new Error(`${host} has an impaired uplink and cannot move`);
      await lab.deleteInterface(host, network.uplinkOf(host));
      segments.set(host, to);
      await lab.connect(link);
    },
  };
}

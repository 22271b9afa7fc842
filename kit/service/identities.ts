import { randomInt } from "node:crypto";
import type { Client } from "@connectrpc/connect";
import type { CertificateService } from "@cloudvlan/gen/auth/v1/auth_pb.js";
import type { ServiceName } from "../caller/index.ts";
import type { Clock } from "../clock/index.ts";
import { ConfigError, type ProcessConfig } from "../config/index.ts";
import type { Logger } from "../log/index.ts";
import type { CertificateAuthority } from "../ca/index.ts";
import { keepRenewed } from "../pki/index.ts";
import { certifyListener, certifyService, type Identity, readIdentity, renewIdentity } from "./identity.ts";

const RANDOM_STEPS = 2 ** 32;

/** The identities of a process: what its listener shows and what its services call others with. */
export interface Identities {
  listener(): Identity;
  service(name: ServiceName): Identity;
  /** True when the CA has other roots than the listener trusts. */
  areRootsNew(): Promise<boolean>;
  /** Renews what the CA of this process issued, at once: its roots changed. */
  refresh(onListener: (identity: Identity) => void): Promise<void>;
  /** Renews each at two thirds of its life until the signal. Never rejects. */
  keep(onListener: (identity: Identity) => void, signal: AbortSignal): Promise<void>;
}

export interface IdentitiesOptions {
  readonly config: ProcessConfig;
  readonly trustDomain: string;
  readonly local: readonly ServiceName[];
  /** Set where auth runs. */
  readonly ca: CertificateAuthority | undefined;
  readonly certificates: (service: ServiceName) => Client<typeof CertificateService>;
  readonly clock: Clock;
  readonly log: Logger;
}

interface Slot {
  current: Identity;
  renew(signal: AbortSignal): Promise<Identity>;
  readonly name: string;
}

function fail(name: ServiceName, message: string): ConfigError {
  return new ConfigError("configuration", [{ position: "", key: `identities.${name}`, message }]);
}

async function slotsWithCa(options: IdentitiesOptions, ca: CertificateAuthority): Promise<Map<string, Slot>> {
  const { config, trustDomain } = options;
  const slots = new Map<string, Slot>();
  const listener = (): Promise<Identity> => certifyListener(ca, trustDomain, config.listen.names);
  slots.set("listener", { name: "listener", current: await listener(), renew: listener });
  if (Object.keys(config.endpoints).length === 0) return slots;
  for (const name of options.local) {
    const service = (): Promise<Identity> => certifyService(ca, trustDomain, name);
    slots.set(name, { name, current: await service(), renew: service });
  }
  return slots;
}

/** The listener shows the identity of the first service: names of a machine are those of all its services. */
function slotsFromFiles(options: IdentitiesOptions): Map<string, Slot> {
  const slots = new Map<string, Slot>();
  for (const name of options.local) {
    const files = options.config.identities[name];
    if (!files) throw fail(name, `${name} runs without auth and needs an identity; issue one on the machine of auth`);
    const slot: Slot = {
      name,
      current: readIdentity(files, options.trustDomain, name, options.clock),
      renew: (signal) => renewIdentity(slot.current, files, options.certificates(name), signal),
    };
    if (slots.size === 0) slots.set("listener", slot);
    slots.set(name, slot);
  }
  return slots;
}

/** @throws ConfigError when the configuration does not say where identities come from, Refusal when the CA fails. */
export async function identities(options: IdentitiesOptions): Promise<Identities> {
  const { ca, clock, log } = options;
  const slots = ca ? await slotsWithCa(options, ca) : slotsFromFiles(options);

  function slot(name: string): Slot {
    const found = slots.get(name);
    if (!found) throw new Error(`this process has no identity for ${name}`);
    return found;
  }

  return {
    listener: () => slot("listener").current,
    service: (name) => slot(name).current,
    async areRootsNew() {
      const roots = await ca?.roots();
      const known = slot("listener").current.roots;
      return roots !== undefined && Buffer.compare(Buffer.concat(roots), Buffer.concat(known)) !== 0;
    },
    async refresh(onListener) {
      const never = new AbortController().signal;
      for (const each of new Set(slots.values())) {
        each.current = await each.renew(never);
        if (each === slot("listener")) onListener(each.current);
      }
      log.info({}, "certificates renewed: the roots of the CA changed");
    },
    async keep(onListener, signal) {
      const loops = [...new Set(slots.values())].map((each) =>
        keepRenewed(
          {
            clock,
            random: () => randomInt(RANDOM_STEPS) / RANDOM_STEPS,
            current: each.current,
            renew: async (stop) => {
              each.current = await each.renew(stop);
              if (each === slot("listener")) onListener(each.current);
              log.info({ identity: each.name, not_after: each.current.notAfter }, "certificate renewed");
              return each.current;
            },
            onFailure: (error, failures) =>
              log.warn({ error, identity: each.name, failures }, "certificate not renewed"),
          },
          signal,
        ),
      );
      await Promise.all(loops);
    },
  };
}

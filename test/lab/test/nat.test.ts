import assert from "node:assert/strict";
import { fileURLToPath } from "node:url";
import { NAT_KINDS, type NatKind } from "../index.ts";
import { hasNft, runScenario, USERS } from "./enclosed.ts";

interface Class {
  readonly mapping: string;
  readonly filtering: string;
  readonly preserved: boolean;
}

interface Seen {
  readonly classes: Readonly<Record<string, Class & { readonly translated: boolean; readonly address: string }>>;
  readonly addresses: Readonly<Record<"left" | "carrier" | "open", string>>;
  readonly table: Readonly<Record<string, string>>;
  readonly twins: readonly string[];
  readonly hairpins: Readonly<Record<string, { through: boolean; external: boolean; mapped: boolean }>>;
  readonly forgotten: Readonly<Record<"before" | "after" | "again", boolean>>;
  readonly places: Readonly<Record<string, boolean>>;
  readonly blocked: Readonly<Record<string, unknown>>;
  readonly ipv6: Readonly<Record<"alone" | "carried", Class & { readonly mapped: boolean }>> & {
    readonly legacy: boolean;
  };
  readonly namespaces: string;
}

const KINDS = Object.keys(NAT_KINDS) as NatKind[];

for (const user of USERS) {
  describe(`NAT, as ${user} (needs nft)`, function () {
    this.timeout(180_000);
    let seen: Seen;
    before(async function () {
      if (!(await hasNft())) this.skip();
      seen = await runScenario<Seen>(user, fileURLToPath(new URL("nat-scenario.ts", import.meta.url)));
    });

    for (const kind of KINDS) {
      it(`${kind}: maps and filters so`, () => {
        const found = seen.classes[kind];
        assert.ok(found);
        const { mapping, filtering, preserved, address } = found;
        assert.deepEqual({ mapping, filtering }, NAT_KINDS[kind]);
        assert.equal(preserved, kind !== "symmetric");
        assert.equal(address, seen.addresses.left);
      });

      if (kind === "symmetric") continue;
      it(`${kind}: does the same when it takes other ports`, () => {
        const found = seen.classes[`${kind}, translated`];
        assert.ok(found);
        const { mapping, filtering, preserved, translated } = found;
        assert.deepEqual({ mapping, filtering }, NAT_KINDS[kind]);
        assert.ok(translated && !preserved);
      });
    }

    it("shows the carrier's address and the stricter of both behaviours behind two", () => {
      assert.deepEqual(seen.classes["carrier"], {
        ...NAT_KINDS["port-restricted"],
        preserved: true,
        translated: false,
        address: seen.addresses.carrier,
      });
    });

    it("leaves a host of the public segment as it is", () => {
      const found = seen.classes["public"];
      assert.deepEqual([found?.address, found?.filtering], [seen.addresses.open, "endpoint-independent"]);
    });

    it("lets punch whom theory lets punch", () => {
      assert.deepEqual(seen.table, {
        "full-cone": "DDDD",
        "address-restricted": "DDDD",
        "port-restricted": "DDD-",
        symmetric: "DD--",
      });
    });

    it("gives hosts with one port a mapping each, the same to everybody and open to all", () => {
      const [first, again, open, second, alike, openToo] = seen.twins;
      assert.deepEqual([again, open, alike, openToo], [first, "true", second, "true"]);
      assert.notEqual(second, first);
    });

    for (const kind of KINDS) {
      it(`${kind}: leads back what is for a neighbour, with an external source, when it is to`, () => {
        const through = { through: true, external: true, mapped: kind !== "symmetric" };
        assert.deepEqual(seen.hairpins[`${kind} true`], through);
        assert.deepEqual(seen.hairpins[`${kind} false`], { through: false, external: false, mapped: false });
      });
    }

    // That an idle mapping goes after its time, the scenario waits for.
    it("knows a mapping no more once it forgot it, until the host sends again", () => {
      assert.deepEqual(seen.forgotten, { before: true, after: false, again: true });
    });

    it("keeps a host's sockets when it moves behind another router, into the open, behind two, and home", () => {
      assert.deepEqual(seen.places, { right: true, public: true, home: true, left: true });
    });

    it("blocks UDP, and all but TCP to port 443", () => {
      assert.deepEqual(seen.blocked, {
        all: { udp: true, "443": true, "8443": true },
        "no-udp": { udp: false, "443": true, "8443": true },
        "tcp-443": { udp: false, "443": true, "8443": false },
      });
    });

    it("does not translate IPv6, alone or beside IPv4, and lets in what was asked for", () => {
      const firewall = { mapping: "endpoint-independent", filtering: "address-and-port-dependent", preserved: true };
      assert.deepEqual(seen.ipv6, {
        alone: { ...firewall, mapped: true },
        carried: { ...firewall, mapped: true },
        legacy: false,
      });
    });

    it("leaves nothing behind", () => assert.equal(seen.namespaces, ""));
  });
}

import assert from "node:assert/strict";
import { CvlanService } from "@cloudvlan/gen/registry/v1/registry_pb.js";
import { newId } from "@cloudvlan/kit/ids";
import { formatPrefix } from "@cloudvlan/kit/net";
import { withStores } from "@cloudvlan/kit/testing";
import { sql } from "drizzle-orm";
import { checkDomain, uniqueDomain } from "../domain/dns.ts";
import { dnsOf, newPlace, refusalOf, type RegistryUnderTest, startRegistry, tamper } from "./harness.ts";

describe("the DNS record of a cvlan", () => {
  withStores((stores) => {
    let under: RegistryUnderTest;
    before(async () => {
      under = await startRegistry(stores.store);
    });
    after(() => under[Symbol.dispose]());
    beforeEach(() => under.errors.splice(0));

    const cvlans = () => under.as(CvlanService);

    /** A tenant as a worker of the former version leaves it: cvlans without a record. */
    async function formerly(...names: string[]) {
      const place = await newPlace(under);
      const { tenantId } = place;
      const made: string[] = [];
      for (const name of names) {
        const { cvlan } = await cvlans().createCvlan({ tenantId, name });
        made.push(cvlan?.id ?? "");
        await tamper(under, tenantId, `delete from change where stream = '${cvlan?.id}'`);
        await tamper(under, tenantId, `delete from cvlan_dns where cvlan_id = '${cvlan?.id}'`);
      }
      return { ...place, made };
    }

    it("is signed with the cvlan, and grows by one with each change and with nothing else", async () => {
      const place = await newPlace(under);
      const { tenantId, cvlanId } = place;
      const told = async () => {
        const record = await dnsOf(under, place);
        return [record?.recordRevision, record?.domain, record?.tenantId, record?.cvlanId];
      };
      assert.deepEqual(await told(), [1n, "main.cvlan.internal", tenantId, cvlanId]);
      const { cvlan } = await cvlans().updateCvlan({ tenantId, cvlanId, dnsDomain: "corp.example.com" });
      assert.equal(cvlan?.dnsDomain, "corp.example.com");
      assert.deepEqual(await told(), [2n, "corp.example.com", tenantId, cvlanId]);
      await cvlans().updateCvlan({ tenantId, cvlanId, dnsDomain: "corp.example.com" });
      await cvlans().updateCvlan({ tenantId, cvlanId });
      assert.deepEqual(await told(), [2n, "corp.example.com", tenantId, cvlanId]);
      const { prefixes = [] } = (await dnsOf(under, place)) ?? {};
      const { cvlan: now } = await cvlans().getCvlan({ tenantId, cvlanId });
      assert.deepEqual(prefixes.map(formatPrefix), [now?.ipv4Pool, now?.ipv6Prefix]);
      const { revision } = await under.changes.read(tenantId, cvlanId, 0n);
      assert.equal(revision, 3n, "settings and record, then the second record: what changes nothing is told to nobody");
    });

    it("keeps its domain when the cvlan gets another name, until somebody says otherwise", async () => {
      const place = await newPlace(under);
      const { tenantId, cvlanId } = place;
      const renamed = await cvlans().updateCvlan({ tenantId, cvlanId, name: "hq" });
      assert.deepEqual([renamed.cvlan?.name, renamed.cvlan?.dnsDomain], ["hq", "main.cvlan.internal"]);
      assert.equal((await dnsOf(under, place))?.recordRevision, 1n);
      const { cvlan } = await cvlans().updateCvlan({ tenantId, cvlanId, dnsDomain: "" });
      assert.equal(cvlan?.dnsDomain, "hq.cvlan.internal");
      const { cvlans: listed } = await cvlans().listCvlans({ tenantId });
      assert.deepEqual(
        listed.map(({ name, dnsDomain }) => [name, dnsDomain]),
        [["hq", "hq.cvlan.internal"]],
      );
      assert.equal((await cvlans().getCvlan({ tenantId, cvlanId })).cvlan?.dnsDomain, "hq.cvlan.internal");
    });

    it("has a domain of its own in the tenant, and a cvlan a name of its own", async () => {
      const place = await newPlace(under);
      const { tenantId, cvlanId } = place;
      const other = await cvlans().createCvlan({ tenantId, name: "other", dnsDomain: "corp.example.com" });
      assert.equal(other.cvlan?.dnsDomain, "corp.example.com");
      const taken = await refusalOf(cvlans().updateCvlan({ tenantId, cvlanId, dnsDomain: "corp.example.com" }));
      assert.deepEqual([taken.reason, taken.detail.field], ["DNS_DOMAIN_TAKEN", "dns_domain"]);
      const named = await refusalOf(cvlans().updateCvlan({ tenantId, cvlanId, name: "other" }));
      assert.deepEqual([named.reason, named.detail.field], ["CVLAN_NAME_TAKEN", "name"]);
      await cvlans().updateCvlan({ tenantId, cvlanId, name: "renamed" });
      const again = await refusalOf(cvlans().createCvlan({ tenantId, name: "main" }));
      assert.equal(again.reason, "DNS_DOMAIN_TAKEN");
      const elsewhere = newId("tenant", Date.now());
      under.auth.newTenant(elsewhere);
      await cvlans().createCvlan({ tenantId: elsewhere, name: "main", dnsDomain: "corp.example.com" });
    });

    it("comes to cvlans that had none, by the job, also where the domain is taken", async () => {
      const place = await formerly("one", "two");
      const { tenantId, made } = place;
      const [one = "", two = ""] = made;
      assert.equal((await cvlans().getCvlan({ tenantId, cvlanId: one })).cvlan?.dnsDomain, "");
      await cvlans().updateCvlan({ tenantId, cvlanId: place.cvlanId, dnsDomain: "two.cvlan.internal" });
      const recordOf = (cvlanId: string) => dnsOf(under, { tenantId, cvlanId });
      await under.working(async () => (await recordOf(one)) !== undefined && (await recordOf(two)) !== undefined);
      assert.equal((await recordOf(one))?.domain, "one.cvlan.internal");
      assert.equal((await recordOf(two))?.domain, `two-${two.slice(-12)}.cvlan.internal`);
      await under.working(async () => (await due()).length === 0);
      assert.equal((await recordOf(one))?.recordRevision, 1n);
      assert.deepEqual(under.errors, []);
    });

    async function due(): Promise<unknown[]> {
      const { rows } = (await under.db.platform((tx) => tx.execute(sql`select 1 from publication where due`))) as {
        rows: unknown[];
      };
      return rows;
    }

    for (const change of [`domain = 'evil.example'`, `record = decode('00', 'hex')`, `record_revision = 9`]) {
      it(`is not signed anew from a row that somebody changed: ${change}`, async () => {
        const place = await newPlace(under);
        const { tenantId, cvlanId } = place;
        await tamper(under, tenantId, `update cvlan_dns set ${change} where cvlan_id = '${cvlanId}'`);
        const refusal = await refusalOf(cvlans().updateCvlan({ tenantId, cvlanId, dnsDomain: "corp.example.com" }));
        assert.deepEqual([refusal.kind, refusal.detail.auditReason], ["not_found", undefined]);
        assert.equal((await dnsOf(under, place))?.domain, "main.cvlan.internal");
        assert.ok(under.errors.length > 0);
      });
    }
  });
});

describe("a DNS domain", () => {
  const reasonOf = (domain: string): string => {
    try {
      checkDomain(domain);
      return "";
    } catch (error) {
      return error instanceof Error && "reason" in error ? String(error.reason) : String(error);
    }
  };

  it("is the operator's own", () => {
    const judged = {
      "corp.example.com": "",
      "office.cvlan.internal": "",
      "example.com": "",
      "x.home.arpa": "",
      "co.uk": "DNS_DOMAIN_PUBLIC_SUFFIX",
      com: "DNS_DOMAIN_PUBLIC_SUFFIX",
      internal: "DNS_DOMAIN_PUBLIC_SUFFIX",
      "github.io": "DNS_DOMAIN_PUBLIC_SUFFIX",
      "foo.github.io": "",
      "printer.local": "DNS_DOMAIN_RESERVED",
      "a.localhost": "DNS_DOMAIN_RESERVED",
      "10.in-addr.arpa": "DNS_DOMAIN_RESERVED",
      "1.2.3.4": "DNS_DOMAIN_MALFORMED",
      "notlocal.example": "",
    };
    assert.deepEqual(Object.fromEntries(Object.keys(judged).map((domain) => [domain, reasonOf(domain)])), judged);
  });

  it("made from a long name stays a label", () => {
    const id = newId("cvlan", Date.now());
    const [label = ""] = uniqueDomain({ id, name: "n".repeat(63) }).split(".");
    assert.equal(label.length, 63);
    assert.ok(label.endsWith(id.slice(-12)));
  });
});

import assert from "node:assert/strict";
import { appendFile, mkdir, readFile, readlink, rm, symlink, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { program } from "@cloudvlan/infra/site/process";
import { run } from "@cloudvlan/test/lab";
import { ENGINE_KILLED } from "./site/loud.ts";
import { joinBoth, ping, type Site, startSite, until } from "./site/index.ts";

const STUB = "/run/systemd/resolve/stub-resolv.conf";
const ZONE = "main.cvlan.internal";
const DAEMON = process.env["CLOUDVLAN_SYSTEMD_RESOLVED"] ?? "/lib/systemd/systemd-resolved";

/** A bus on which everybody may do everything, in an enclosure where nobody else is. */
const BUS = `<!DOCTYPE busconfig PUBLIC "-//freedesktop//DTD D-BUS Bus Configuration 1.0//EN"
 "http://www.freedesktop.org/standards/dbus/1.0/busconfig.dtd">
<busconfig><type>system</type><listen>unix:path=/run/dbus/system_bus_socket</listen><auth>EXTERNAL</auth>
<policy context="default"><allow user="*"/><allow own="*"/><allow send_type="method_call"/><allow send_type="signal"/>
<allow send_requested_reply="true" send_type="method_return"/><allow send_requested_reply="true" send_type="error"/>
<allow receive_type="method_call"/><allow receive_type="signal"/><allow receive_type="method_return"/>
<allow receive_type="error"/>
</policy></busconfig>
`;

describe("names of the overlay by systemd-resolved (needs its daemon, resolvectl and dbus-daemon, as root)", function () {
  this.timeout(300_000);
  let site: Site;
  const ends = new AsyncDisposableStack();

  before(async function () {
    const found = await run(["sh", "-c", `command -v resolvectl && command -v dbus-daemon && test -x ${DAEMON}`]);
    if (found.code !== 0 || process.geteuid?.() !== 0) {
      return this.skip();
    }
    site = ends.use(await startSite({ store: "pglite", workers: 1, resolvConf: "", provokes: ENGINE_KILLED }));
    const etc = join(site.folder, "hosta-etc");
    await rm(join(etc, "resolv.conf"));
    await symlink(STUB, join(etc, "resolv.conf"));
    if (!(await readFile(join(etc, "passwd"), "utf8")).includes("\nsystemd-resolve:")) {
      await appendFile(join(etc, "passwd"), "systemd-resolve:x:990:990::/:/usr/sbin/nologin\n");
      await appendFile(join(etc, "group"), "systemd-resolve:x:990:\n");
    }
    await mkdir("/run/dbus", { recursive: true });
    const config = join(site.folder, "bus.conf");
    await writeFile(config, BUS);
    const daemons = [
      ["dbus-daemon", `--config-file=${config}`, "--nofork", "--nopidfile"],
      ["sh", "-c", `install -d -o systemd-resolve -g systemd-resolve /run/systemd/resolve && exec ${DAEMON}`],
    ];
    for (const [index, argv] of daemons.entries()) {
      const one = program(site.a.argvOn(argv), join(site.folder, `resolved-${index}.out`));
      await one.start();
      ends.defer(() => one.end("SIGKILL"));
      const sign = index === 0 ? ["test", "-S", "/run/dbus/system_bus_socket"] : ["resolvectl", "--no-pager", "status"];
      await one.until(`${argv[0]} answers`, async () => (await run(site.a.argvOn(sign))).code === 0);
    }
    await site.tenant.apply(ping);
    await joinBoth(site);
  });
  after(() => ends.disposeAsync());

  const resolves = async (name: string) =>
    (await run(site.a.argvOn(["getent", "ahostsv4", name]))).stdout.startsWith("100.");
  const linkHas = async (server: RegExp) =>
    server.test((await run(site.a.argvOn(["resolvectl", "dns", "cvlan0"]))).stdout);

  it("are found, also by their short form, and again after the engine was killed", async () => {
    const { a } = site;
    for (const name of [`hostb.${ZONE}`, "hostb"]) await until(`${name} is found`, () => resolves(name));
    assert.equal(await readlink(join(site.folder, "hosta-etc", "resolv.conf")), STUB);
    await a.killEngine();
    await until("they are found again", () => resolves(`hostb.${ZONE}`));
    await a.agent.end("SIGTERM");
    assert.ok(await linkHas(/127\.83\./));
    assert.ok(await resolves(`hostb.${ZONE}`));
    await a.errand("--stop-engine");
    assert.ok(!(await linkHas(/127\.83\./)));
    assert.ok(!(await resolves(`hostb.${ZONE}`)));
  });
});

import assert from "node:assert/strict";
import { fileURLToPath } from "node:url";

const folder = fileURLToPath(new URL("../../packaging/systemd", import.meta.url));

/** A unit's settings by section and name. */
function settings(text: string): Map<string, string[]> {
  const found = new Map<string, string[]>();
  let section = "";
  for (const line of text.split("\n")) {
    const header = /^\[(\w+)\]$/.exec(line)?.[1];
    if (header !== undefined) section = header;
    else if (line !== "" && !line.startsWith("#")) {
      const [, name, value] = /^(\w+)=(.*)$/.exec(line) ?? assert.fail(`no setting: ${line}`);
      const key = `${section}.${name}`;
      found.set(key, [...found.get(key) ?? [], value!]);
    }
  }
  return found;
}

const HARDENED: Record<string, string> = {
  DynamicUser: "yes",
  LockPersonality: "yes",
  NoNewPrivileges: "yes",
  PrivateDevices: "yes",
  PrivateTmp: "yes",
  ProtectClock: "yes",
  ProtectControlGroups: "yes",
  ProtectHome: "yes",
  ProtectKernelLogs: "yes",
  ProtectKernelModules: "yes",
  ProtectKernelTunables: "yes",
  ProtectProc: "invisible",
  ProtectSystem: "strict",
  RestrictNamespaces: "yes",
  RestrictRealtime: "yes",
  RestrictSUIDSGID: "yes",
  SystemCallArchitectures: "native",
  UMask: "0077",
};

for (const name of ["server", "client"]) {
  Deno.test(`units: the ${name}'s is hardened, and starts the installed launcher`, async () => {
    const unit = settings(await Deno.readTextFile(`${folder}/trafficmimic-${name}.service`));
    const value = (key: string) => unit.get(`Service.${key}`)?.join(" ");
    for (const [key, wanted] of Object.entries(HARDENED)) assert.equal(value(key), wanted, key);
    assert.equal(
      value("CapabilityBoundingSet"),
      name === "server" ? "CAP_NET_BIND_SERVICE" : "",
    );
    assert.equal(value("SystemCallFilter"), "@system-service ~@privileged @resources");
    // The engine compiles at run time: with this it does not start.
    assert.equal(value("MemoryDenyWriteExecute"), undefined);
    assert.match(value("ExecStart")!, new RegExp(`^/usr/local/bin/trafficmimic ${name} `));
    // Secrets are neither in the journal nor in the list of processes.
    if (name === "server") assert.equal(value("StandardOutput"), "null");
    else assert.match(value("ExecStart")!, / --line-file %d\/line /);
    assert.deepEqual(unit.get("Install.WantedBy"), ["multi-user.target"]);
  });
}

Deno.test("units: the gateway's has the rights that its programs need, and takes back what it did", async () => {
  const unit = settings(await Deno.readTextFile(`${folder}/trafficmimic-gateway.service`));
  const value = (key: string) => unit.get(`Service.${key}`)?.join(" ");
  const needless = [
    "DynamicUser",
    "PrivateDevices",
    "ProtectKernelModules",
    "ProtectKernelTunables",
  ];
  for (const [key, wanted] of Object.entries(HARDENED)) {
    if (needless.includes(key) || key === "ProtectProc" || key === "UMask") continue;
    assert.equal(value(key), wanted, key);
  }
  // Forwarding is a kernel tunable, and dnsmasq is known by its command line in /proc.
  assert.equal(value("ProtectKernelTunables"), undefined);
  assert.equal(value("ProtectProc"), undefined);
  assert.match(value("CapabilityBoundingSet")!, /^CAP_NET_ADMIN /);
  assert.doesNotMatch(value("CapabilityBoundingSet")!, /CAP_SYS_ADMIN|CAP_SYS_MODULE/);
  assert.match(value("ExecStart")!, /^\/usr\/local\/bin\/trafficmimic gateway up \$/);
  assert.equal(value("ExecStopPost"), "/usr/local/bin/trafficmimic gateway down");
  assert.equal(value("PIDFile"), "/run/trafficmimic-gateway/dnsmasq.pid");
  // What lasts over a reboot is the unit; what was changed before it is gone, and so is the note of it.
  assert.equal(value("RuntimeDirectory"), "trafficmimic-gateway");
  assert.deepEqual(unit.get("Install.WantedBy"), ["multi-user.target"]);
});

Deno.test("apparmor: the rules name all that the launcher starts", async () => {
  const packaging = new URL("../../packaging/", import.meta.url);
  const rules = await Deno.readTextFile(new URL("apparmor/system_tor", packaging));
  const launcher = await Deno.readTextFile(new URL("trafficmimic.sh", packaging));
  for (const path of ["bin/trafficmimic rix", "lib/trafficmimic/deno ix"]) {
    assert.ok(rules.includes(`/usr/local/${path},`), path);
  }
  const [, programs] = /bin\/\{(.*)\} mrix,/.exec(rules)!;
  for (const name of programs!.split(",").filter((name) => !/sh$/.test(name))) {
    assert.match(launcher, new RegExp(`\\b${name} `), `${name} is not needed`);
  }
  // Commands of the launcher that are no part of the shell.
  for (const name of ["dirname", "readlink", "mkdir"]) assert.ok(programs!.includes(name), name);
});

Deno.test("units: systemd's own checker has nothing to say, where there is one", async () => {
  const there = await new Deno.Command("systemd-analyze", { args: ["--version"], stdout: "null" })
    .output().then(({ success }) => success, () => false);
  if (!there) return; // The text was checked above; the guide says so.
  const copy = await Deno.makeTempDir();
  const units: string[] = [];
  for (const name of ["server", "client", "gateway"]) {
    const file = `trafficmimic-${name}.service`;
    const text = await Deno.readTextFile(`${folder}/${file}`);
    await Deno.writeTextFile(
      `${copy}/${file}`,
      text.replaceAll("/usr/local/bin/trafficmimic", "/bin/true"),
    );
    units.push(`${copy}/${file}`);
  }
  const { code, stderr } = await new Deno.Command("systemd-analyze", {
    args: ["verify", "--man=no", ...units],
  }).output();
  assert.deepEqual([new TextDecoder().decode(stderr), code], ["", 0]);
  await Deno.remove(copy, { recursive: true });
});

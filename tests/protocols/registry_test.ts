import assert from "node:assert/strict";
import { fileURLToPath } from "node:url";
import { labelOfPort, PROTOCOLS } from "../../capture/mod.ts";
import { LEARNABLE_PROTOCOLS } from "../../models/learn/mod.ts";
import { loadModel } from "../../models/mod.ts";
import {
  HTTPS,
  type Protocol,
  protocolOf,
  ProtocolTaken,
  registerProtocol,
  SMTP,
  SSH,
} from "../../protocols/mod.ts";
import { carrierOf, CARRIERS } from "../../transports/carriers/mod.ts";
import { alpnOf } from "../../transports/mimic/mod.ts";

const main = fileURLToPath(new URL("../../cli/main.ts", import.meta.url));

Deno.test("our own protocols are registered as any other, and every room knows them", () => {
  for (const protocol of [HTTPS, SMTP, SSH]) {
    assert.equal(protocolOf(protocol.name), protocol);
    assert.ok(LEARNABLE_PROTOCOLS.includes(protocol));
    assert.ok(CARRIERS.has(protocol.carrier));
    for (const port of protocol.ports) assert.equal(labelOfPort(port), protocol.name);
  }
  assert.deepEqual(PROTOCOLS.map(({ carrier }) => carrier).slice(0, 3), ["tls", "ssh", "smtp"]);
  assert.deepEqual(alpnOf("https"), ["h2", "http/1.1"]);
  assert.deepEqual(alpnOf("https", true), ["http/1.1"]);
  assert.equal(alpnOf("smtp"), undefined);
});

Deno.test("a protocol that is registered is learned, labelled, carried and loaded by its name", async () => {
  const gopher: Protocol = {
    name: "gopher",
    ports: [70],
    carrier: "burrow",
    handshakes: ["gopher-hello"],
    alpn: { native: ["gopher"] },
    model: new URL("../../models/learned/smtp.json", import.meta.url),
    recogniser: { ...PROTOCOLS[0]!, carrier: "gopher-hello" },
    transport: { ...carrierOf("tls"), name: "burrow" },
  };
  registerProtocol(gopher);
  assert.ok(LEARNABLE_PROTOCOLS.includes(gopher));
  assert.equal(labelOfPort(70), "gopher");
  assert.equal(carrierOf("burrow"), gopher.transport);
  assert.equal(PROTOCOLS.at(-1), gopher.recogniser);
  assert.deepEqual(alpnOf("gopher"), ["gopher"]);
  assert.equal((await loadModel("gopher")).description.name, "smtp");

  const { transport, recogniser, ...rest } = gopher;
  assert.throws(() => registerProtocol(gopher), ProtocolTaken);
  assert.throws(
    () => registerProtocol({ ...rest, name: "mole", transport: transport! }),
    /a carrier burrow is registered already/,
  );
  assert.throws(
    () => registerProtocol({ ...rest, name: "mole", recogniser: recogniser! }),
    /a recogniser of gopher-hello is registered already/,
  );
  assert.equal(protocolOf("mole"), undefined, "nothing of it stays");
  registerProtocol({ name: "late", ports: [443], carrier: "tls", handshakes: ["tls"] });
  assert.equal(labelOfPort(443), "https", "nobody takes a port of another");
});

Deno.test("a file that is no protocol is told in one line, and runs nothing else", async () => {
  const folder = await Deno.makeTempDir();
  const write = async (name: string, text: string) => {
    await Deno.writeTextFile(`${folder}/${name}`, text);
    return `${folder}/${name}`;
  };
  const cases: [string, RegExp][] = [
    [`${folder}/none.ts`, /there is no such file/],
    ["https://example.com/x.ts", /trusted code: give the path of a file/],
    [await write("broken.ts", "export default {"), /cannot be loaded/],
    [await write("empty.ts", "export const a = 1;"), /no protocol/],
    [
      await write(
        "bad.ts",
        `export default { name: "A B", ports: [], carrier: "tls", handshakes: ["x"] }`,
      ),
      /no protocol: name: lower-case/,
    ],
    [
      await write(
        "taken.ts",
        `export default { name: "ssh", ports: [], carrier: "tls", handshakes: ["x"] }`,
      ),
      /protocol ssh: its name is registered already/,
    ],
  ];
  try {
    for (const [path, says] of cases) {
      const { code, stderr } = await new Deno.Command(Deno.execPath(), {
        args: ["run", "--no-prompt", "--allow-read", "--allow-env", main, "learn", "x.pcap"]
          .concat("--protocol-plugin", path),
        env: { NO_COLOR: "1" },
      }).output();
      const said = new TextDecoder().decode(stderr);
      assert.match(said, /^error: [^\n]+\n$/);
      assert.match(said, says);
      assert.equal(code, 1);
    }
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
});

// What others call our carriers: recordings of tunnels in play, at ports that say nothing.
import assert from "node:assert/strict";
import { recorded } from "../../bench/support/loopback_recording.ts";
import { exemptionsOf } from "../../evaluation/fully_encrypted.ts";
import { parseLine, startClient, startServer } from "../../transports/mimic/mod.ts";
import { HAS_POSTFIX, startGenuinePostfix } from "./genuine_postfix.ts";
import { FAST_MODEL } from "./world.ts";

const works = (command: string, ...args: string[]) =>
  new Deno.Command(command, { args, stdin: "null", stdout: "null", stderr: "null" }).output()
    .then(({ success }) => success, () => false);
const CAN_NAME = Deno.uid() === 0 && await works("tcpdump", "--version") &&
  await works("tshark", "-v") && await works("ndpiReader", "-h");
const HAS_SSH = await works("/usr/bin/ssh", "-V") && await works("test", "-x", "/usr/sbin/sshd");

const CLAIMS = {
  tls: { is: /^TLS/, ndpi: /^TLS/, rule: "TLS", here: true },
  smtp: { is: /^SMTP/, ndpi: /^SMTP/, rule: "printable beginning", here: HAS_POSTFIX },
  ssh: { is: /^SSH/, ndpi: /^SSH$/, rule: "printable beginning", here: HAS_SSH },
} as const;

async function output(command: string, ...args: string[]): Promise<string> {
  const { stdout } = await new Deno.Command(command, { args, stderr: "null" }).output();
  return new TextDecoder().decode(stdout);
}

for (const [carrier, { here, is, ndpi, rule }] of Object.entries(CLAIMS)) {
  Deno.test({
    name:
      `${carrier}: tshark and nDPI call it what it claims to be, and the rules let its first packet pass (needs root, tcpdump, tshark, nDPI, and Postfix or OpenSSH)`,
    ignore: !CAN_NAME || !here,
    fn: async () => {
      const folder = await Deno.makeTempDir();
      const postfix = carrier === "smtp" ? await startGenuinePostfix() : undefined;
      if (postfix !== undefined) {
        await Deno.writeTextFile(`${folder}/mail.pem`, postfix.identity.certificate);
        await Deno.writeTextFile(`${folder}/mail.key`, postfix.identity.key);
      }
      const server = await startServer({
        listen: { host: "127.0.0.1", port: 0 },
        models: [FAST_MODEL],
        carrier,
        state: `${folder}/state`,
        ...(postfix === undefined ? {} : {
          decoy: { host: "127.0.0.1", port: postfix.behind },
          certificate: { cert: `${folder}/mail.pem`, key: `${folder}/mail.key` },
        }),
      });
      const { port } = server.address;
      const file = `${folder}/recording.pcap`;
      await recorded(file, ["tcp", "port", String(port)], async () => {
        const client = await startClient({
          line: parseLine(server.line),
          model: FAST_MODEL,
          insistOnCarrier: true,
          seed: crypto.getRandomValues(new Uint8Array(32)),
          sessions: 2,
        });
        await new Promise((resolve) => setTimeout(resolve, 1200));
        await client.close();
      });
      await server.close();
      await postfix?.stop();
      const fields = async (filter: string, ...names: string[]) =>
        (await output("tshark", "-r", file, "-d", `tcp.port==${port},${carrier}`, "-Y", filter, ...[
          ...["-T", "fields"],
          ...names.flatMap((name) => ["-e", name]),
        ])).split("\n").filter((line) => line !== "").map((line) => line.split("\t"));
      const called = new Map<string, boolean>();
      const filter = "tcp.len > 0 && !_ws.malformed";
      for (const [stream, protocol] of await fields(filter, "tcp.stream", "_ws.col.Protocol")) {
        called.set(stream!, (called.get(stream!) ?? false) || is.test(protocol!));
      }
      assert.ok(called.size > 1);
      assert.deepEqual([...called.values()].filter((named) => !named), []);
      const first = await fields(
        `tcp.len > 0 && tcp.seq == 1 && tcp.dstport == ${port}`,
        "tcp.payload",
      );
      assert.ok(first.length >= called.size);
      for (const [payload] of first) {
        const bytes = Uint8Array.from(payload!.match(/../g)!, (two) => parseInt(two, 16));
        assert.ok(exemptionsOf(bytes).includes(rule), payload);
      }
      const said = await output("ndpiReader", "-i", file);
      // A connection that was cut as it began has no name yet.
      const names = [...said.matchAll(/^\s+(\S+)\s+packets:.*flows:\s*\d+/gm)]
        .map(([, name]) => name!).filter((name) => name !== "Unknown");
      assert.ok(names.length > 0, said);
      for (const name of names) assert.match(name, ndpi);
      await Deno.remove(folder, { recursive: true });
    },
  });
}

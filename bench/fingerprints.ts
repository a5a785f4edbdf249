/**
 * How TLS programs look to tcpdump: Chromium, curl and OpenSSL before a genuine nginx; our client before our native
 * server and before a server that nginx fronts. For each connection: what tshark and nDPI call it, JA3 and JA4
 * of the client, JA3S and the record layout of the server's handshake, and whether the client's first payload
 * passes the published rules against fully encrypted traffic.
 *
 * ```sh
 * deno run -A bench/fingerprints.ts        # root; tcpdump, tshark, ndpiReader, nginx, curl, openssl, chromium
 * ```
 *
 * @module
 */
import { Table } from "../base/table.ts";
import { print } from "../cli/output.ts";
import { exemptionsOf } from "../evaluation/fully_encrypted.ts";
import { loadModel } from "../models/mod.ts";
import { readClientHello } from "../transports/carriers/client_hello.ts";
import { alpnOf, parseLine, startClient, startServer } from "../transports/mimic/mod.ts";
import { ja4 } from "./ja4.ts";
import { freePort, startNginx } from "./nginx.ts";
import { recordText } from "./probes.ts";
import { recorded } from "./support/loopback_recording.ts";

/** Milliseconds that our client plays. */
const PLAY = 12_000;

const pause = (milliseconds: number) => new Promise((resolve) => setTimeout(resolve, milliseconds));

async function text(program: string, args: string[], input?: string): Promise<string> {
  const child = new Deno.Command(program, {
    args,
    stdin: input === undefined ? "null" : "piped",
    stdout: "piped",
    stderr: "null",
  }).spawn();
  if (input !== undefined) {
    const writer = child.stdin.getWriter();
    await writer.write(new TextEncoder().encode(input));
    await writer.close();
  }
  const deadline = setTimeout(() => child.kill("SIGKILL"), 40_000);
  const { stdout } = await child.output();
  clearTimeout(deadline);
  return new TextDecoder().decode(stdout);
}

interface Look {
  readonly connections: number;
  readonly tshark: string;
  readonly ndpi: string;
  readonly ja3: string;
  readonly ja4: string;
  readonly ja3s: string;
  readonly layout: string;
  readonly passes: string;
}

const distinct = (values: string[]) => [...new Set(values.filter((value) => value !== ""))];
const listed = (values: string[]) => {
  const set = distinct(values);
  return set.length > 2 ? `${set.length} different` : set.join(" ");
};

async function look(file: string, port: number): Promise<Look> {
  // tshark knows TLS by the port it is told and by what it sees; the port here says nothing.
  const tshark = async (filter: string, ...fields: string[]) =>
    (await text("tshark", [
      ...["-r", file, "-Y", filter, "-T", "fields", "-E", "separator=;", "-E", "occurrence=a"],
      ...fields.flatMap((field) => ["-e", field]),
    ])).split("\n").filter((line) => line !== "").map((line) => line.split(";"));
  const clients = await tshark("tls.handshake.type==1", "tcp.stream", "tls.handshake.ja3");
  const servers = await tshark(
    "tls.handshake.type==2",
    "tls.handshake.ja3s",
    "tls.handshake.ja3s_full",
  );
  const protocols = await tshark(`tcp.len>0`, "frame.protocols");
  const payloads = await tshark(`tcp.dstport==${port} && tcp.len>0`, "tcp.stream", "tcp.payload");
  const first = new Map<string, Uint8Array>();
  for (const [stream, payload] of payloads) {
    if (first.has(stream!)) continue;
    first.set(
      stream!,
      Uint8Array.from(payload!.match(/../g) ?? [], (pair) => parseInt(pair, 16)),
    );
  }
  const fingerprints: string[] = [];
  const rules = new Set<string>();
  let blocked = 0;
  for (const bytes of first.values()) {
    const hello = readClientHello(bytes);
    if (typeof hello === "object") fingerprints.push(ja4(hello));
    const exemptions = exemptionsOf(bytes);
    if (exemptions.length === 0) blocked++;
    for (const rule of exemptions) rules.add(rule);
  }
  const [stream] = first.keys();
  const records = await tshark(
    `tcp.stream==${stream} && tcp.srcport==${port} && tls.record.length`,
    "tls.record.content_type",
    "tls.record.opaque_type",
    "tls.record.length",
  );
  const layout = records.flatMap(([clear, opaque, lengths]) => {
    const types = [...clear!.split(","), ...opaque!.split(",")].filter((type) => type !== "");
    return lengths!.split(",").map((length, i) => `${types[i] ?? "23"}:${Number(length) + 5}`);
  }).slice(0, 9);
  const ndpi = await text("ndpiReader", ["-i", file, "-v", "1"]);
  const called = [...ndpi.matchAll(/^\t(\S+) +packets: .* flows: (\d+)/gm)]
    .map(([, name, flows]) => `${name} (${flows})`);
  const top = protocols.map(([chain]) => chain!.split(":").slice(4).join(":") || "tcp");
  return {
    connections: first.size,
    tshark: `tls in ${
      top.filter((chain) => chain.includes("tls")).length
    } of ${top.length} segments`,
    ndpi: called.join(", "),
    ja3: listed(clients.map(([, ja3]) => ja3!)),
    ja4: listed(fingerprints),
    ja3s: listed(servers.map(([, full]) => full!)),
    layout: recordText(layout),
    passes: blocked > 0 ? `${blocked} blocked` : `all, by ${[...rules].join(", ")}`,
  };
}

const folder = await Deno.makeTempDir({ prefix: "fingerprints-" });
const rows: [string, Look][] = [];
const model = await loadModel("https");
try {
  {
    await using nginx = await startNginx();
    const { port } = nginx;
    const url = `https://www.example.com:${port}/`;
    const program = async (name: string, act: () => Promise<unknown>) => {
      const file = `${folder}/${name}.pcap`;
      await recorded(file, ["tcp", "port", String(port)], act);
      rows.push([`${name} to nginx`, await look(file, port)]);
    };
    await program("Chromium", () =>
      text("chromium", [
        ...["--headless", "--no-sandbox", "--disable-gpu", "--ignore-certificate-errors"],
        ...[
          "--host-resolver-rules=MAP www.example.com 127.0.0.1",
          `--user-data-dir=${folder}/chromium`,
        ],
        ...["--dump-dom", url],
      ]));
    await program(
      "curl",
      () => text("curl", ["-sk", "--resolve", `www.example.com:${port}:127.0.0.1`, url]),
    );
    await program("OpenSSL", () =>
      text(
        "openssl",
        ["s_client", "-quiet", "-connect", `127.0.0.1:${port}`, "-servername", "www.example.com"],
        "GET / HTTP/1.0\r\n\r\n",
      ));
  }
  const ours = async (name: string, line: string, port: number) => {
    const file = `${folder}/${name}.pcap`;
    await recorded(file, ["tcp", "port", String(port)], async () => {
      const client = await startClient({
        line: parseLine(line),
        connect: { host: "127.0.0.1", port },
        model,
        seed: crypto.getRandomValues(new Uint8Array(32)),
        sessions: 4,
      });
      await pause(PLAY);
      await client.close();
    });
    rows.push([`ours, ${name}`, await look(file, port)]);
  };
  await using site = await startNginx();
  const common = {
    models: [model] as const,
    name: "www.example.com",
  };
  const native = await startServer({
    ...common,
    listen: { host: "127.0.0.1", port: 0 },
    state: `${folder}/native`,
    alpn: alpnOf("https")!,
    certificate: { cert: site.cert, key: site.key },
    decoy: { host: "127.0.0.1", port: site.port },
  });
  await ours("native", native.line, native.address.port);
  await native.close();
  const behind = freePort();
  const fronted = await startServer({
    ...common,
    listen: { host: "127.0.0.1", port: behind },
    state: `${folder}/fronted`,
    alpn: alpnOf("https", true)!,
    front: site.cert,
  });
  await using front = await startNginx({
    like: site,
    front: { path: fronted.parts.path!, port: behind },
  });
  await ours("fronted", fronted.line, front.port);
  await fronted.close();
  const table = new Table({
    head: ["", ...rows.map(([name]) => name)],
    colWidths: [18, ...rows.map(() => 29)],
    wordWrap: true,
    wrapOnWordBoundary: false,
    style: { head: [], border: [] },
  });
  const lines: [string, (seen: Look) => string][] = [
    ["connections", (seen) => String(seen.connections)],
    ["tshark", (seen) => seen.tshark],
    ["nDPI", (seen) => seen.ndpi],
    ["JA3", (seen) => seen.ja3],
    ["JA4", (seen) => seen.ja4],
    ["JA3S (full)", (seen) => seen.ja3s],
    ["server's records", (seen) => seen.layout],
    ["first payload", (seen) => seen.passes],
  ];
  for (const [name, cell] of lines) table.push([name, ...rows.map(([, seen]) => cell(seen))]);
  print(
    Deno.args.includes("--json")
      ? JSON.stringify(Object.fromEntries(rows), null, 1)
      : table.toString(),
  );
} finally {
  await Deno.remove(folder, { recursive: true });
}
Deno.exit();

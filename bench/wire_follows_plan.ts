/**
 * Whether the wire does what the plan says, by what tcpdump sees at both ends of the laboratory's link and not by
 * our own log: sizes and order of records, who closes and how, and how late each message was after what triggers
 * it. The plan is drawn anew from the model and the seeds. Also what nDPI and tshark take the connections for.
 *
 * `deno task lab:wire [NAME...] [--seconds 60] [--json]` (root; tcpdump, ip, ss, tshark, ndpiReader; Postfix for
 * `smtp`, OpenSSH for `ssh`). Names: see `--help`.
 *
 * @module
 */
import { createHash } from "node:crypto";
import { fileURLToPath } from "node:url";
import { Table } from "../base/table.ts";
import { UsageError } from "../base/mod.ts";
import { type Connection, readConnections } from "../capture/mod.ts";
import { Command } from "../cli/command_line.ts";
import { note, print, printJson } from "../cli/output.ts";
import { runCommand } from "../cli/run.ts";
import { exemptionsOf } from "../evaluation/fully_encrypted.ts";
import { temporaryPrefix } from "../lab/leftovers.ts";
import { LAB_LINK } from "../lab/link_profile.ts";
import { demand } from "../lab/needs.ts";
import { CLIENT_ADDRESS, denoCache, LabNetwork, SERVER_ADDRESS } from "../lab/network.ts";
import { ProgramFailed, run, type Running, sleep } from "../lab/process.ts";
import { Tcpdump } from "../lab/tcpdump.ts";
import { type End, loadModel } from "../models/mod.ts";
import type { LatenessSummary, SizeGrid, WireEvent } from "../playback/mod.ts";
import { SSH_GRID, TLS_GRID } from "../transports/carriers/mod.ts";
import { compare, type Compared, readSsh, readTls } from "./support/wire_compare.ts";
import { farewells, type Leaving } from "./support/wire_farewells.ts";
import { WireControl } from "./support/wire_control.ts";
import type { WireTask } from "./support/wire_end.ts";
import {
  type EndLateness,
  endLateness,
  type Pair,
  pairs,
  statedByLog,
  type Summary,
  summary,
  verdict,
} from "./support/wire_late.ts";
import { plannedConnections } from "./support/wire_plan.ts";
import { load } from "./support/processor.ts";

interface Case {
  readonly name: string;
  readonly model: string;
  readonly carrier: "tls" | "smtp" | "ssh";
  readonly master: End;
  readonly busy: boolean;
}

const PORTS = { tls: 443, smtp: 587, ssh: 22 };
const CLAIMS = {
  tls: { tshark: /^TLS/, ndpi: /^TLS/ },
  smtp: { tshark: /^SMTP/, ndpi: /^SMTP/ },
  ssh: { tshark: /^SSH/, ndpi: /^SSH/ },
};
/** The control's port, and how many connections it has plans for: more than it plays. */
const CONTROL = 4000;
const CONTROLS = 500;
const FAR = 9000;
const DOOR = 1080;

const CASES: readonly Case[] = ([["https", "tls"], ["smtp", "smtp"], ["ssh", "ssh"]] as const)
  .flatMap(([model, carrier]) =>
    (["client", "server"] as const).flatMap((master) =>
      [false, true].map((busy) => ({
        name: `${carrier}-${master}-${busy ? "busy" : "idle"}`,
        model,
        carrier,
        master,
        busy,
      }))
    )
  );

interface Found {
  readonly name: string;
  readonly recorded: number;
  readonly compared: number;
  readonly unfinished: number;
  readonly records: { readonly planned: number; readonly exact: number };
  readonly surplus: number;
  readonly early: number;
  readonly closedBy: number;
  readonly closedHow: number;
  readonly queued: number;
  readonly own: readonly [number, number];
  readonly openings: {
    readonly compared: number;
    readonly late: Summary;
    /** Those that waited, as they are to: until one of those open had closed, or the first been answered. */
    readonly held: number;
    /** The longest of these waits, in milliseconds. */
    readonly longest: number;
  };
  readonly late: Readonly<Record<End, EndLateness>>;
  /** What the engines have counted, openings and connections that were not over among it. */
  readonly counted: Readonly<Record<End, LatenessSummary>>;
  /** The same of a plain program that played plans of the same model beside it. */
  readonly control: Readonly<Record<End, EndLateness>>;
  readonly dropped: number;
  readonly named: Named;
  readonly deviations: readonly string[];
  readonly load: string;
}

/** What others take the connections for. */
interface Named {
  /** Connections that tshark takes for what they claim to be. */
  readonly tshark: number;
  /** The same of nDPI. */
  readonly ndpi: number;
  /** Connections with payload. */
  readonly spoke: number;
  /** Connections whose client's first payload the rules against fully encrypted traffic let pass. */
  readonly pass: number;
  /** The rules by which they do. */
  readonly rules: readonly string[];
  /** Lengths of first payloads, each once. */
  readonly lengths: readonly number[];
  /** How one of them begins. */
  readonly begins: string;
}

/** When the server said its first planned word. */
function firstAnswer({ handshake: { bytes }, segments, startTime }: Connection): number {
  for (let row = 0; row < segments.length; row++) {
    if (segments.side[row] === 1 && segments.offset[row]! >= bytes[1]) {
      return startTime + segments.time[row]!;
    }
  }
  return Infinity;
}

const hex = (text: string) => createHash("sha256").update(text).digest("hex");
const bytes = (text: string) => new Uint8Array(text.match(/../g)!.map((two) => parseInt(two, 16)));

function program(task: WireTask): string[] {
  return [
    Deno.execPath(),
    ...["run", "--quiet", "--no-prompt", "--no-check", "--allow-net", "--allow-read"],
    ...["--allow-write", "--allow-env", "--allow-sys", "--allow-run", "--allow-ffi"],
    fileURLToPath(new URL("./support/wire_end.ts", import.meta.url)),
    JSON.stringify(task),
  ];
}

async function connectionsIn(file: string): Promise<Connection[]> {
  const found: Connection[] = [];
  await readConnections(file, { onConnection: (connection) => found.push(connection) });
  return found.sort((a, b) => a.startTime - b.startTime);
}

async function eventsIn(file: string): Promise<WireEvent[]> {
  const lines = (await Deno.readTextFile(file)).split("\n");
  // The last may not be whole.
  return lines.slice(0, -1).map((line) => JSON.parse(line) as WireEvent);
}

/** The first bytes of a payload, what is no text as points. */
function beginning(payload: Uint8Array): string {
  return String.fromCharCode(...payload.subarray(0, 24)).replaceAll(/[^ -~]/g, ".");
}

/** What each program takes the connections of a recording for, and what the rules say of their first payloads. */
async function named(file: string, carrier: Case["carrier"]): Promise<Named> {
  const claim = CLAIMS[carrier];
  const fields = async (filter: string, ...fields: string[]) => {
    const text = await run(
      ["tshark", "-r", file, "-Y", filter, "-T", "fields"].concat(
        fields.flatMap((field) => ["-e", field]),
      ),
      120_000,
      { env: { HOME: "/nonexistent" } },
    );
    return text.split("\n").filter((line) => line !== "").map((line) => line.split("\t"));
  };
  const streams = new Map<string, boolean>();
  for (const [stream, protocol] of await fields("tcp.len > 0", "tcp.stream", "_ws.col.Protocol")) {
    streams.set(stream!, (streams.get(stream!) ?? false) || claim.tshark.test(protocol!));
  }
  const first = new Map<string, Uint8Array>();
  const filter = `tcp.len > 0 && tcp.seq == 1 && tcp.dstport == ${PORTS[carrier]}`;
  for (const [stream, payload] of await fields(filter, "tcp.stream", "tcp.payload")) {
    if (!first.has(stream!)) first.set(stream!, bytes(payload!));
  }
  const said = await run(["ndpiReader", "-i", file], 120_000);
  let ndpi = 0;
  for (const [, protocol, flows] of said.matchAll(/^\s+(\S+)\s+packets:.*flows:\s*(\d+)/gm)) {
    if (claim.ndpi.test(protocol!)) ndpi += Number(flows);
  }
  const payloads = [...first.values()];
  const exempt = payloads.map(exemptionsOf);
  return {
    tshark: [...streams.values()].filter((is) => is).length,
    spoke: streams.size,
    ndpi,
    pass: exempt.filter(({ length }) => length > 0).length,
    rules: [...new Set(exempt.flat())],
    lengths: [...new Set(payloads.map(({ length }) => length))].sort((a, b) => a - b),
    begins: beginning(payloads[0] ?? new Uint8Array(0)),
  };
}

/** Asks a process for what it has counted. */
async function statsOf(process: Running): Promise<{ latenessAtMost: LatenessSummary }> {
  const before = process.output.length;
  await process.write("\n");
  for (let tries = 0; tries < 200; tries++) {
    await sleep(50);
    const said = process.output.slice(before).trim().split("\n").at(-1)!;
    if (said.startsWith("{") && process.output.endsWith("\n")) return JSON.parse(said);
  }
  throw new ProgramFailed("an end of a tunnel", process.errors);
}

async function play(
  { busy, carrier, master, model, name }: Case,
  seconds: number,
  seed: string,
  keep: string | undefined,
): Promise<Found> {
  const folder = await Deno.makeTempDir({ prefix: temporaryPrefix() });
  const network = await LabNetwork.up({ link: { ...LAB_LINK, queueKB: 4096 }, kind: "tun" });
  const running: Running[] = [];
  const env = { HOME: folder, NO_COLOR: "1", ...denoCache() };
  const start = async (end: End, argv: string[], said: RegExp) => {
    const process = network.start(end, argv, { env });
    running.push(process);
    await process.said(said, 60_000);
    return process;
  };
  const seeds = { client: hex(`${seed} ${name} client`), server: hex(`${seed} ${name} server`) };
  try {
    const files = { client: `${folder}/client.pcap`, server: `${folder}/server.pcap` };
    const logs = { client: `${folder}/client.jsonl`, server: `${folder}/server.jsonl` };
    const grid: SizeGrid = carrier === "ssh" ? SSH_GRID : TLS_GRID;
    const drawn = await loadModel(model);
    const seedsOfControl = {
      client: bytes(hex(`${seed} ${name} control`)),
      server: bytes(seeds.client),
    };
    const control = new WireControl(
      plannedConnections(drawn, { master, ...seedsOfControl }, grid, CONTROLS),
      { start, ask: statsOf, host: SERVER_ADDRESS, port: CONTROL, folder },
    );
    await control.start();
    let genuine: Pick<Extract<WireTask, { is: "server" }>, "decoy" | "certificate"> = {};
    if (carrier === "smtp") {
      const postfix = await start("server", [
        ...[Deno.execPath(), "run", "--quiet", "--no-prompt", "--no-check", "-A"],
        fileURLToPath(new URL("./support/wire_postfix.ts", import.meta.url)),
        ...[folder, `${CLIENT_ADDRESS}/32`],
      ], /\d+\n/);
      genuine = {
        decoy: Number(postfix.output.trim()),
        certificate: { cert: `${folder}/mail.pem`, key: `${folder}/mail.key` },
      };
    }
    const server = await start(
      "server",
      program({
        is: "server",
        host: SERVER_ADDRESS,
        port: PORTS[carrier],
        model,
        carrier,
        state: `${folder}/state`,
        seed: seeds.server,
        log: logs.server,
        ...genuine,
      }),
      /"line".*\n/,
    );
    const dumps = [
      await Tcpdump.start(network, files.client, "client"),
      await Tcpdump.start(network, files.server, "server"),
    ];
    await start("server", program({ is: "far", port: FAR }), /ready.*\n/);
    // All that is beside the tunnel is there before it: a program that starts takes a processor for a tenth of a second.
    if (busy) await start("client", program({ is: "user", port: DOOR }), /ready.*\n/);
    const { line } = JSON.parse(server.output.trim().split("\n").at(-1)!) as { line: string };
    // Before the tunnel's first connections, which the client's beginning makes late on a machine of few processors.
    await control.play();
    const client = await start(
      "client",
      program({
        is: "client",
        line,
        model,
        master,
        seed: seeds.client,
        door: DOOR,
        far: FAR,
        log: logs.client,
      }),
      /ready.*\n/,
    );
    await sleep(1000 * seconds);
    const counted = {
      client: (await statsOf(client)).latenessAtMost,
      server: (await statsOf(server)).latenessAtMost,
    };
    await control.stop();
    const machine = await load();
    let dropped = 0;
    for (const dump of dumps) dropped += (await dump.stop()).dropped;
    const only = async (port: number) => {
      const found = { client: "", server: "" };
      for (const end of ["client", "server"] as const) {
        found[end] = `${folder}/${end}-${port}.pcap`;
        await run([
          "tcpdump",
          "-Z",
          "root",
          "-r",
          files[end],
          "-w",
          found[end],
          "tcp",
          "port",
          `${port}`,
        ]);
      }
      return found;
    };
    const [own, bare] = [await only(PORTS[carrier]), await only(CONTROL)];
    const [here, there] = [await connectionsIn(own.client), await connectionsIn(own.server)];
    const events = { client: await eventsIn(logs.client), server: await eventsIn(logs.server) };
    const late: Record<End, Pair[]> = { client: [], server: [] };
    const plans = plannedConnections(
      drawn,
      { master, client: bytes(seeds.client), server: bytes(seeds.server) },
      grid,
      here.length,
    );
    const all: Compared[] = [];
    const deviations: string[] = [];
    const openings: number[] = [];
    const held: number[] = [];
    const answered = here[0] === undefined ? 0 : firstAnswer(here[0]);
    let unfinished = 0;
    const leaving: Leaving[] = [];
    for (const [index, connection] of here.entries()) {
      const plan = plans[index]!;
      const far = there.find(({ clientPort, startTime }) =>
        clientPort === connection.clientPort && Math.abs(startTime - connection.startTime) < 5000
      );
      if (index > 0 && plan.opensAfter !== undefined) {
        const due = here[index - 1]!.startTime + plan.opensAfter;
        const open = here.slice(0, index).filter(({ endTime }) => endTime > due).length;
        const waits = due < answered || open + plan.room > (drawn.mostOpen ?? Infinity);
        (waits ? held : openings).push(connection.startTime - due);
      }
      if (far === undefined || ["cut", "timeout"].includes(connection.end.how)) {
        unfinished++;
        leaving.push({ plan, connection, ready: undefined });
        continue;
      }
      const [near, away] = carrier === "ssh"
        ? readSsh(connection, far, plan)
        : [readTls(connection), readTls(far)];
      const compared = compare(near, away, plan);
      all.push(compared);
      leaving.push({ plan, connection, ready: compared.ready });
      for (const end of ["client", "server"] as const) {
        late[end].push(...pairs(compared, end, statedByLog(events[end], plan, end)));
      }
      if (compared.deviation !== undefined) {
        deviations.push(`connection ${plan.session}/${plan.serial}: ${compared.deviation}`);
      }
    }
    for (const [index, planned] of farewells(leaving).entries()) {
      const { connection: { end, startTime }, plan, ready } = leaving[index]!;
      if (planned === undefined || ready === undefined || end.time === undefined) continue;
      const stated = statedByLog(events.client, plan, "client").at(-1);
      if (stated !== undefined) late.client.push({ wire: startTime + end.time - planned, stated });
    }
    const sum = (of: (compared: Compared) => number) =>
      all.reduce((total, compared) => total + of(compared), 0);
    if (keep !== undefined) {
      await Deno.mkdir(keep, { recursive: true });
      for (const end of ["client", "server"] as const) {
        await Deno.copyFile(files[end], `${keep}/${name}-${end}.pcap`);
        await Deno.copyFile(logs[end], `${keep}/${name}-${end}.jsonl`);
      }
    }
    return {
      name,
      recorded: here.length,
      compared: all.length,
      unfinished,
      records: {
        planned: sum(({ planned: [a, b] }) => a + b),
        exact: sum(({ exact: [a, b] }) => a + b),
      },
      surplus: sum(({ surplus }) => surplus),
      early: sum(({ early }) => early),
      closedBy: sum(({ closedBy }) => Number(closedBy)),
      closedHow: sum(({ closedHow }) => Number(closedHow)),
      queued: sum(({ queued }) => queued),
      own: [sum(({ own }) => own[0]), sum(({ own }) => own[1])],
      openings: {
        compared: openings.length,
        late: summary(openings),
        held: held.length,
        longest: Math.max(0, ...held),
      },
      late: { client: endLateness(late.client), server: endLateness(late.server) },
      counted,
      control: control.found(
        await connectionsIn(bare.client),
        await connectionsIn(bare.server),
        here[0]?.startTime ?? 0,
      ),
      dropped,
      named: await named(own.client, carrier),
      deviations,
      load: machine,
    };
  } finally {
    for (const process of running.toReversed()) {
      await process.closeInput();
      await process.ended(8000);
    }
    await network[Symbol.asyncDispose]();
    await Deno.remove(folder, { recursive: true }).catch(() => {});
  }
}

interface Options {
  readonly seconds: number;
  readonly seed: string;
  readonly keep?: string;
  readonly json?: boolean;
}

const three = ({ max, median, p99 }: { median: number; p99: number; max: number }) =>
  [median, p99, max].map((ms) => ms.toFixed(2)).join(" / ");

/** Lateness of both ends of each case, and what is to be thought of it. */
function printLateness(results: readonly Found[]): void {
  print("How late, ms: median / 99th percentile / most");
  const drawn = new Table({
    head: [
      "",
      "",
      "engine, tcpdump",
      "engine says",
      "beyond it",
      "control, tcpdump",
      "control says",
      "beyond it",
      "p99 within",
    ],
    style: { head: [], border: [] },
  });
  for (const { control, late, name } of results) {
    for (const end of ["client", "server"] as const) {
      const [ours, plain] = [late[end], control[end]];
      drawn.push([
        end === "client" ? name : "",
        end,
        three(ours.wire),
        three(ours.stated),
        three(ours.beyond),
        three(plain.wire),
        three(plain.stated),
        three(plain.beyond),
        verdict(ours, plain),
      ]);
    }
  }
  print(drawn.toString());
  print(
    "Each message by tcpdump at its sender's end, as that end says itself, and the first less the second. The control " +
      "is a plain program that plays plans of the same model with bare TCP meanwhile: what is beyond its own words is " +
      "the machine's. p99 within: the recording's 99th percentile is at most the one that the engine says (alone), or at " +
      "most that and the one that is beyond the control's words.",
  );
}

async function runAll(names: string[], { json, keep, seconds, seed }: Options): Promise<void> {
  const chosen = names.length === 0 ? CASES : names.map((name) => {
    const found = CASES.find((one) => one.name === name);
    if (found === undefined) {
      throw new UsageError(
        `no such case: ${name}: choose ${CASES.map(({ name }) => name).join(", ")}`,
      );
    }
    return found;
  });
  await demand([], ["tshark", "ndpiReader"]);
  const results: Found[] = [];
  for (const one of chosen) {
    note(`wire: ${one.name}`);
    results.push(await play(one, one.carrier === "ssh" ? 2 * seconds : seconds, seed, keep));
    if (json) continue;
    for (const text of results.at(-1)!.deviations.slice(0, 10)) note(`  ${text}`);
  }
  if (json) return printJson(results);
  const table = (head: string[], row: (found: Found) => string[]) => {
    const drawn = new Table({
      head,
      colAligns: head.map((_, i) => i === 0 ? "left" : "right"),
      style: { head: [], border: [] },
    });
    for (const found of results) drawn.push([found.name, ...row(found)]);
    print(drawn.toString());
  };
  print("What tcpdump saw of connections that ended, against their plans");
  table(
    [
      "",
      "connections",
      "records as planned",
      "bytes more",
      "too early",
      "closed by",
      "closed how",
      "program's own packets",
      "tshark",
      "nDPI",
      "first packet passes",
    ],
    ({ closedBy, closedHow, compared, early, named, own, recorded, records, surplus }) => [
      String(compared),
      `${records.exact} of ${records.planned}`,
      String(surplus),
      String(early),
      `${closedBy} of ${compared}`,
      `${closedHow} of ${compared}`,
      `${own[0]} + ${own[1]}`,
      `${named.tshark} of ${named.spoke}`,
      `${named.ndpi} of ${recorded}`,
      `${named.pass} of ${named.spoke}`,
    ],
  );
  printLateness(results);
  for (const { named: { begins, lengths, rules }, name } of results) {
    print(
      `${name}: a client's first payload has ${lengths.join(", ")} bytes, begins with ${
        JSON.stringify(begins)
      }, ` +
        `and is no fully encrypted traffic by: ${rules.join(", ")}`,
    );
  }
  for (const { dropped, load, name, named, openings, queued, recorded, unfinished } of results) {
    print(
      `${name}: ${openings.held} openings waited until there was room for them or the first connection had been ` +
        `answered, ${openings.longest.toFixed(0)} ms at most`,
    );
    print(
      `${name}: ${unfinished} connections not over at the end and left out, ${
        recorded - named.spoke
      } without a ` +
        `word yet; ${queued} messages behind bytes that TCP had not sent; ${dropped} packets missed by tcpdump; load ${load}`,
    );
  }
}

function command(): Command {
  return new Command("deno task lab:wire")
    .usage("[NAME...] [options]")
    .description(
      "Plays models over the laboratory's link with tcpdump at both ends, and compares the recordings with the plans, drawn anew. Root.",
    )
    .argument("[name...]", `which: ${CASES.map(({ name }) => name).join(", ")}`)
    .option("--seconds <n>", "how long each is played (ssh: twice that)", Number, 60)
    .option("--seed <text>", "seed of the covers", "wire")
    .option("--keep <folder>", "keep the recordings there")
    .option("--json", "print the results as JSON")
    .action(runAll);
}

if (import.meta.main) {
  const wire = { summary: "compare", load: () => Promise.resolve({ command }) };
  Deno.exit(await runCommand("deno task", { "lab:wire": wire }, ["lab:wire", ...Deno.args]));
}

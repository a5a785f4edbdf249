/**
 * A program of its own, with no right but FFI: joins two network namespaces by a TUN interface in
 * each, and holds every packet back for a delay, at a rate, in a queue. A line of JSON on its standard
 * input ({@linkcode TunLinkChange}) changes the link while it runs. It ends when its standard input
 * does, and then prints what it forwarded and dropped as one line of JSON.
 *
 * @module
 */
import { seededRandom } from "./random.ts";
import { DelayLine } from "./delay_line.ts";
import { Libc } from "./libc.ts";

/** What the program is given as its only argument, as JSON. */
export interface TunLinkSettings {
  /** Paths of the two namespaces, such as `/run/netns/NAME`. */
  readonly namespaces: readonly [string, string];
  /** Name of the interface to create in both. */
  readonly device: string;
  /** Milliseconds one way. */
  readonly delayMs: number;
  /** Megabits a second each way; 0 for no limit. */
  readonly rateMbit: number;
  /** Bytes of queue each way; 0 for no limit. */
  readonly queueBytes: number;
  /** Share of packets lost at random, from 0 to 1. */
  readonly loss: number;
  /** Extra delay up to this many milliseconds. */
  readonly jitterMs: number;
  /** Seeds loss and jitter. */
  readonly seed: number;
}

/** What may change while the link is up; what is left out stays as it is. */
export type TunLinkChange = Partial<
  Pick<TunLinkSettings, "delayMs" | "rateMbit" | "queueBytes" | "loss" | "jitterMs">
>;

/** What the program prints when it ends. */
export interface TunLinkReport {
  /** Packets of the first namespace's interface on their way to the second. */
  readonly there: DelayLine["counts"];
  /** Packets of the second namespace's interface on their way to the first. */
  readonly back: DelayLine["counts"];
  /** Mean milliseconds by which packets left later than they should have. */
  readonly meanLateMs: number;
  /** Largest of these. */
  readonly maxLateMs: number;
}

const BURST = 64;
const STANDARD_INPUT = 0;

function run(settings: TunLinkSettings): void {
  const libc = new Libc(3);
  const files = settings.namespaces.map((path) => libc.openTun(path, settings.device));
  const lines = files.map((_, direction) =>
    new DelayLine(settings, seededRandom("link", settings.seed, direction))
  );
  libc.hurry();
  Deno.stdout.writeSync(new TextEncoder().encode("ready\n"));
  const watched = [...files, STANDARD_INPUT];
  const spare = new Uint8Array(65536);
  const overflow = [0, 0];
  const decoder = new TextDecoder();
  let commands = "";
  let present: TunLinkSettings = settings;
  let late = 0;
  let forwarded = 0;
  let latest = 0;
  while (true) {
    let next = Infinity;
    for (let direction = 0; direction < 2; direction++) {
      const line = lines[direction]!;
      for (let packet = 0; packet < BURST; packet++) {
        const full = line.full;
        const length = libc.read(files[direction]!, full ? spare : line.incoming);
        if (length <= 0) break;
        if (full) overflow[direction]!++;
        else line.offer(performance.now(), length);
      }
      const out = files[1 - direction]!;
      let now = performance.now();
      while (line.due <= now) {
        const behind = now - line.due;
        late += behind;
        forwarded++;
        if (behind > latest) latest = behind;
        line.deliver(now, (bytes, length) => libc.write(out, bytes, length));
        now = performance.now();
      }
      if (line.due < next) next = line.due;
    }
    libc.wait(watched, Math.min(1000, next - performance.now()));
    if (!libc.ready(2)) continue;
    const said = libc.read(STANDARD_INPUT, spare);
    if (said <= 0) break;
    commands += decoder.decode(spare.subarray(0, said), { stream: true });
    for (let end = commands.indexOf("\n"); end >= 0; end = commands.indexOf("\n")) {
      present = { ...present, ...JSON.parse(commands.slice(0, end)) as TunLinkChange };
      commands = commands.slice(end + 1);
      for (const line of lines) line.change(performance.now(), present);
    }
  }
  const report: TunLinkReport = {
    there: { ...lines[0]!.counts, dropped: lines[0]!.counts.dropped + overflow[0]! },
    back: { ...lines[1]!.counts, dropped: lines[1]!.counts.dropped + overflow[1]! },
    meanLateMs: forwarded === 0 ? 0 : late / forwarded,
    maxLateMs: latest,
  };
  Deno.stdout.writeSync(new TextEncoder().encode(`${JSON.stringify(report)}\n`));
}

if (import.meta.main) {
  try {
    run(JSON.parse(Deno.args[0] ?? "") as TunLinkSettings);
  } catch (error) {
    Deno.stderr.writeSync(
      new TextEncoder().encode(`error: ${error instanceof Error ? error.message : error}\n`),
    );
    Deno.exit(1);
  }
}

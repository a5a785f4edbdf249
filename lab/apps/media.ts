import { run } from "../process.ts";
import { type Random, seededRandom } from "../random.ts";
import { between, uniform } from "../workload/distribution.ts";

/** Seconds of each film. */
export const FILM_SECONDS = 64;

/** Renditions of each film: pixels, and kilobits a second at most. */
const RENDITIONS = [
  { width: 256, height: 144, kbps: 200 },
  { width: 426, height: 240, kbps: 500 },
  { width: 640, height: 360, kbps: 1100 },
  { width: 854, height: 480, kbps: 2200 },
];

/** Pictures that are neither still nor noise alone: scenes with grain and scenes without take turns. */
function pictures(random: Random, width: number, height: number, seconds: number): string {
  const shape = `size=${width}x${height}:rate=24`;
  const source = random.float() < 0.5
    ? `testsrc2=${shape}`
    : `gradients=${shape}:speed=${uniform(random, 0.01, 0.08).toFixed(3)}:seed=${
      random.integer(999)
    }`;
  const grain = () => {
    const [period, strength] = [between(random, 9, 31), between(random, 2, 6)];
    const part = uniform(random, 0.2, 0.6) * period;
    return `noise=alls=${strength}:allf=t:enable='lt(mod(t+${random.integer(30)},${period}),${
      part.toFixed(1)
    })'`;
  };
  return `${source},${grain()},${grain()},trim=duration=${seconds},format=yuv420p`;
}

function encoder(kbps: number): string[] {
  // Constant quality below a limit, as streaming services encode: segments differ in size as scenes do.
  return [
    ...["-c:v", "libx264", "-preset", "ultrafast", "-profile:v", "main", "-crf", "29"],
    ...["-maxrate", `${kbps}k`, "-bufsize", `${kbps * 3}k`, "-g", "96"],
    ...["-keyint_min", "96", "-sc_threshold", "0", "-c:a", "aac", "-b:a", "64k"],
  ];
}

const ffmpeg = (args: readonly string[]) =>
  run(["ffmpeg", "-nostdin", "-v", "error", "-y", ...args], 300_000);

/** One film in all renditions as HLS: `<folder>/film<k>/master.m3u8`. */
async function makeFilm(folder: string, seed: string, k: number): Promise<void> {
  const path = `${folder}/film${k}`;
  await Deno.mkdir(path, { recursive: true });
  const random = seededRandom("film", seed, k);
  const { width, height } = RENDITIONS.at(-1)!;
  const scaled = RENDITIONS.map(({ width, height }, at) =>
    `[p${at}]scale=${width}:${height}[v${at}]`
  );
  const graph =
    `[0:v]split=${RENDITIONS.length}${RENDITIONS.map((_, at) => `[p${at}]`).join("")};` +
    scaled.join(";");
  const master = ["#EXTM3U", "#EXT-X-VERSION:7"];
  const outputs: string[] = [];
  for (const [at, { width, height, kbps }] of RENDITIONS.entries()) {
    outputs.push(
      ...["-map", `[v${at}]`, "-map", "1:a", ...encoder(kbps), "-f", "hls", "-hls_time", "4"],
      ...["-hls_playlist_type", "vod", "-hls_segment_type", "fmp4"],
      ...["-hls_fmp4_init_filename", `${height}.mp4`],
      ...["-hls_segment_filename", `${path}/${height}-%02d.m4s`, `${path}/${height}.m3u8`],
    );
    master.push(
      `#EXT-X-STREAM-INF:BANDWIDTH=${kbps * 1000 + 64_000},RESOLUTION=${width}x${height},` +
        'CODECS="avc1.4d401f,mp4a.40.2"',
      `${height}.m3u8`,
    );
  }
  await ffmpeg([
    ...["-f", "lavfi", "-i", pictures(random, width, height, FILM_SECONDS)],
    ...["-f", "lavfi", "-i", `sine=frequency=${200 + 40 * k}:duration=${FILM_SECONDS}`],
    ...["-filter_complex", graph, ...outputs],
  ]);
  await Deno.writeTextFile(`${path}/master.m3u8`, `${master.join("\n")}\n`);
}

/** Short clips that are fetched as one file: `<folder>/clip<k>.mp4`. */
async function makeClip(folder: string, seed: string, k: number): Promise<void> {
  const random = seededRandom("clip", seed, k);
  const seconds = between(random, 8, 24);
  await ffmpeg([
    ...["-f", "lavfi", "-i", pictures(random, 480, 270, seconds)],
    ...["-f", "lavfi", "-i", `sine=frequency=330:duration=${seconds}`],
    ...encoder(between(random, 250, 700)),
    ...["-movflags", "+faststart", `${folder}/clip${k}.mp4`],
  ]);
}

/** What was made. */
export interface Media {
  /** Films for the player, `film0` and so on. */
  readonly films: number;
  /** Short clips, `clip0` and so on. */
  readonly clips: number;
}

/** Makes films and clips in `folder`: once for all rounds, who choose among them. */
export async function makeMedia(folder: string, seed: string, media: Media): Promise<void> {
  for (let k = 0; k < media.films; k++) await makeFilm(folder, seed, k);
  for (let k = 0; k < media.clips; k++) await makeClip(folder, seed, k);
}

import { LAB_LINK, type LinkProfile } from "./link_profile.ts";
import type { LinkProbe } from "./link_probe.ts";
import { denoCache, type LinkKind, SERVER_ADDRESS } from "./network.ts";
import { play, type PlayReport } from "./play.ts";
import { ProgramFailed } from "./process.ts";

/** How true a link is. */
export interface LinkMeasurement {
  /** What was asked for. */
  readonly asked: LinkProfile;
  /** How the link was made. */
  readonly linkKind: LinkKind;
  /** The median round trip that was asked for, in milliseconds: twice the delay, the time to send, and jitter. */
  readonly expectedRoundTrip: number;
  /** TCP payload in megabits a second that was asked for: the rate less headers. Losses leave less. */
  readonly expectedMbit: number;
  /** What was measured by programs at both ends. */
  readonly measured: LinkProbe;
  /** What a `tun` link says of itself. */
  readonly link: PlayReport["link"];
}

const PORT = 7000;
/** IP and TCP headers with timestamps. */
const HEADERS = 52;

/** Measures a link with small programs of ours at both ends, for about twice `milliseconds`. */
export async function measureLink(
  options: {
    readonly link?: LinkProfile;
    readonly kind?: LinkKind;
    readonly milliseconds?: number;
  } = {},
): Promise<LinkMeasurement> {
  const { link: asked = LAB_LINK, kind, milliseconds = 4000 } = options;
  const program = new URL("link_probe.ts", import.meta.url).pathname;
  const argv = (mode: string) => [
    ...[Deno.execPath(), "run", "--quiet", "--no-prompt", "--no-remote", "--cached-only"],
    ...[`--allow-net=${SERVER_ADDRESS}:${PORT}`, program, mode],
    ...[SERVER_ADDRESS, `${PORT}`, `${milliseconds}`],
  ];
  const environment = { env: denoCache() };
  const { commands, linkKind, link } = await play({
    link: asked,
    ...(kind === undefined ? {} : { kind }),
    commands: [
      {
        end: "server",
        argv: argv("serve"),
        until: { listens: PORT },
        options: environment,
        computes: "much",
      },
      {
        end: "client",
        argv: argv("probe"),
        until: "exit",
        patience: 3 * milliseconds + 30_000,
        options: environment,
        computes: "much",
      },
    ],
  });
  const { code, output, errors } = commands[1]!;
  if (code !== 0) throw new ProgramFailed("measuring the link", errors);
  return {
    asked,
    linkKind,
    expectedRoundTrip: 2 * (asked.oneWayDelayMs + (HEADERS + 1) * 8 / (asked.rateMbit * 1000)) +
      (asked.jitterMs ?? 0),
    expectedMbit: asked.rateMbit * asked.mss / (asked.mss + HEADERS),
    measured: JSON.parse(output) as LinkProbe,
    link,
  };
}

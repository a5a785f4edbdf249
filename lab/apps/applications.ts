/** The applications that the classifier is to tell apart, after the five of the seed. */
export const APPLICATIONS = ["video", "browser", "news", "game", "weather"] as const;

/** One of {@linkcode APPLICATIONS}. */
export type Application = typeof APPLICATIONS[number];

/** A host outside. */
export interface Origin {
  /** Its name. */
  readonly name: string;
  /** Its own address. */
  readonly address: string;
  /** Whether it speaks HTTP/2; otherwise HTTP/1.1, with up to six connections of a browser. */
  readonly http2: boolean;
  /** Seconds after which it closes an idle connection. */
  readonly keepAlive: number;
}

/** The sites that the browser goes to, and what kind of pages each has. */
export const SITES = {
  agora: "forum",
  bazaar: "shop",
  codex: "wiki",
  depot: "shop",
  easel: "gallery",
  finder: "search",
  guild: "forum",
  hearth: "blog",
  index: "search",
  journal: "blog",
  kiosk: "shop",
  lexis: "wiki",
  murmur: "social",
  notice: "social",
} as const;

/** Hosts that serve several applications: what they send says little about who asked. */
export const SHARED_HOSTS = ["ads.test", "cdn.test", "fonts.test", "stats.test", "consent.test"];

const NAMES: readonly string[] = [
  ...["www.video.test", "thumbs.video.test", "cdn1.video.test", "cdn2.video.test"],
  ...["stats.video.test"],
  ...["www.news.test", "img.news.test", "api.news.test"],
  ...["www.game.test", "assets.game.test", "play.game.test"],
  ...["www.weather.test", "api.weather.test", "tiles.weather.test", "clips.weather.test"],
  ...SHARED_HOSTS,
  ...Object.keys(SITES).flatMap((site) => [`www.${site}.test`, `static.${site}.test`]),
];

/** Every host outside, at an address of its own in 198.18.0.0/24 (RFC 2544: benchmarks). */
export const ORIGINS: readonly Origin[] = NAMES.map((name, index) => ({
  name,
  address: `198.18.0.${10 + index}`,
  http2: index % 3 !== 1,
  keepAlive: [15, 30, 65][index % 3]!,
}));

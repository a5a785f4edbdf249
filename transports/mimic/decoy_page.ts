import { randomInt } from "node:crypto";

const WORDS =
  ("archive bakery bicycle boat bridge carpenter choir clay coffee copper county craft " +
    "garden glass harbour hill house ink kitchen lake lamp letter library market meadow mill museum " +
    "oak orchard paper photo piano pottery press quarry radio river roof sailing school stone studio " +
    "tea timber tower trail valley village walking weather window wood wool workshop").split(" ");

function pick<T>(values: readonly T[]): T {
  return values[randomInt(values.length)]!;
}

function capital(word: string): string {
  return word[0]!.toUpperCase() + word.slice(1);
}

function sentence(): string {
  const words = Array.from({ length: 6 + randomInt(9) }, () => pick(WORDS));
  const link = () => pick(["and the", "of the", "near the", "by a", "with", "for a", "in our"]);
  return capital(words.map((word, i) => i % 2 === 1 ? `${word} ${link()}` : word).join(" ")) +
    ` ${pick(WORDS)}.`;
}

/** The pages of the built-in decoy. */
export interface DecoyPages {
  /** What `/` shows. */
  readonly home: string;
  /** What every other path shows, with status 404. */
  readonly missing: string;
}

/**
 * A small web page with made-up words, layout and colours. Each installation makes its own once and keeps
 * it: a common page would be a signature of the fleet. Operators with a site of their own use `--decoy`.
 */
export function makeDecoyPages(): DecoyPages {
  const title = `${capital(pick(WORDS))} ${pick(["&amp;", "and", "+"])} ${capital(pick(WORDS))}`;
  const hue = randomInt(360);
  const tag = pick(["main", "section", "div", "article"]);
  const head = (name: string) =>
    `<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n` +
    `<meta name="viewport" content="width=device-width, initial-scale=1">\n<title>${name}</title>\n` +
    `<style>body{font-family:${pick(["sans-serif", "serif", "Georgia,serif", "system-ui"])};` +
    `max-width:${30 + randomInt(30)}em;margin:${1 + randomInt(4)}em auto;padding:0 1em;` +
    `color:hsl(${hue},20%,20%)}h1{color:hsl(${hue},50%,35%)}</style>\n</head>\n`;
  const paragraphs = Array.from(
    { length: 2 + randomInt(6) },
    () => `<p>${Array.from({ length: 2 + randomInt(5) }, sentence).join(" ")}</p>\n`,
  );
  const missing = pick(["Not found", "Page not found", "Nothing here"]);
  return {
    home: `${head(title)}<body>\n<${tag}>\n<h1>${title}</h1>\n${paragraphs.join("")}</${tag}>\n` +
      `</body>\n</html>\n`,
    missing: `${head(missing)}<body>\n<h1>${missing}</h1>\n</body>\n</html>\n`,
  };
}

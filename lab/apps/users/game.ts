import type { Page } from "playwright-core";
import { between, logNormal } from "../../workload/distribution.ts";
import { objectPath } from "../page.ts";
import { type Person, time } from "./person.ts";

/** An advertisement: an auction, a picture or now and then a clip, and what counts that it was seen. */
async function advertisement(person: Person, page: Page, clips: number): Promise<void> {
  const { random } = person;
  const bid = objectPath(between(random, 800, 6000), between(random, 40, 160), "bid.json");
  await person.call(page, "ads.test", [bid], between(random, 600, 2400));
  if (random.float() < 0.4) await person.clip(page, "ads.test", random.integer(clips));
  else {
    const picture = objectPath(
      between(random, 20_000, 220_000),
      25,
      `ad${random.integer(999)}.svg`,
    );
    await person.show(page, "ads.test", [picture]);
    await person.pause(time(3000, 0.3, 1500, 6000));
  }
  await person.call(
    page,
    "stats.test",
    [objectPath(43, 10, "seen.json")],
    between(random, 200, 900),
  );
  person.count("advertisements");
}

/** A game of turns over a WebSocket, a score at the end of each level, and an advertisement now and then. */
export async function game(person: Person, clips: number): Promise<void> {
  const { random } = person;
  while (person.busy) {
    const window = await person.newWindow();
    const page = await window.newPage();
    await person.open(page, "www.game.test", "game", random.integer(6));
    for (let levels = between(random, 3, 8); levels > 0 && person.busy; levels--) {
      await person.patient(page.evaluate(
        `globalThis.socket?.close();
        globalThis.socket = new WebSocket("wss://play.game.test/ws");
        new Promise((resolve, reject) => { socket.onopen = resolve; socket.onerror = reject; })`,
      ));
      person.count("levels");
      for (let turns = between(random, 5, 14); turns > 0 && person.busy; turns--) {
        const reply = Math.round(logNormal(random, time(180, 0.7, 30, 2500)));
        const delay = Math.round(logNormal(random, time(40, 0.6, 5, 400)));
        const said = "m".repeat(Math.round(logNormal(random, time(60, 0.6, 8, 600))));
        await person.patient(page.evaluate(
          `socket.readyState === 1 && socket.send("${reply} ${delay} ${said}")`,
        ));
        person.count("turns");
        await person.pause(time(1900, 0.7, 250, 9000));
      }
      const score = objectPath(between(random, 200, 1800), between(random, 15, 90), "score.json");
      await person.call(page, "play.game.test", [score], between(random, 200, 700));
      if (random.float() < 0.4) await advertisement(person, page, clips);
      if (random.float() < 0.3) {
        const paths = Array.from(
          { length: between(random, 1, 5) },
          () => objectPath(between(random, 4000, 90_000), 15, `level${random.integer(300)}.svg`),
        );
        await person.show(page, "assets.game.test", paths);
      }
      await person.pause(time(2500, 0.5, 800, 9000));
    }
    await window.close();
    await person.pause(time(3000, 0.6, 1000, 10_000));
  }
}

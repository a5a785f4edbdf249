import { between, logNormal } from "../../workload/distribution.ts";
import { objectPath } from "../page.ts";
import { type Person, time } from "./person.ts";

/** Weather: small answers at intervals, map tiles, advertisements, and now and then a forecast as a clip. */
export async function weather(person: Person, clips: number): Promise<void> {
  const { random } = person;
  while (person.busy) {
    const window = await person.newWindow();
    const page = await window.newPage();
    await person.open(page, "www.weather.test", "weather", random.integer(300));
    for (let polls = between(random, 8, 20); polls > 0 && person.busy; polls--) {
      const one = (name: string, median: number) =>
        objectPath(
          Math.round(logNormal(random, time(median, 0.35, 60, 30_000))),
          logNormal(random, time(35, 0.6, 5, 250)),
          `${name}.json`,
        );
      const paths = [one("now", 700)];
      if (random.float() < 0.5) paths.push(one("alerts", 220));
      if (random.float() < 0.35) paths.push(one("hours", 5200));
      if (random.float() < 0.2) paths.push(one("days", 9500));
      await person.call(page, "api.weather.test", paths);
      person.count("polls");
      if (random.float() < 0.3) {
        const tiles = Array.from(
          { length: between(random, 1, 9) },
          () =>
            objectPath(
              between(random, 4000, 26_000),
              between(random, 5, 80),
              `tile${random.integer(9999)}.svg`,
            ),
        );
        await person.show(page, "tiles.weather.test", tiles);
        person.count("maps");
      }
      if (random.float() < 0.18) {
        const bid = objectPath(between(random, 800, 6000), between(random, 40, 160), "bid.json");
        await person.call(page, "ads.test", [bid], between(random, 600, 2400));
        const banner = objectPath(
          between(random, 8000, 90_000),
          25,
          `ad${random.integer(999)}.svg`,
        );
        await person.show(page, "ads.test", [banner]);
        person.count("advertisements");
      }
      if (random.float() < 0.05) {
        await person.clip(page, "clips.weather.test", random.integer(clips));
      }
      await person.pause(time(5500, 0.45, 2000, 20_000));
    }
    await window.close();
    await person.pause(time(2500, 0.6, 800, 9000));
  }
}

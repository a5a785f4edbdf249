import { between, pick } from "../../workload/distribution.ts";
import { objectPath } from "../page.ts";
import { type Person, time } from "./person.ts";

/** Adaptive video: a page with a player (hls.js), films in renditions of 4 s segments, and beacons. */
export async function video(person: Person, films: number): Promise<void> {
  const { random } = person;
  while (person.busy) {
    const window = await person.newWindow();
    const page = await window.newPage();
    for (let left = between(random, 2, 4); left > 0 && person.busy; left--) {
      await person.open(page, "www.video.test", "watch", random.integer(400));
      const film = random.integer(films);
      const host = pick(random, ["cdn1.video.test", "cdn2.video.test"]);
      // The buffer is what people's players keep: it fills at first, then a segment at a time.
      const ahead = pick(random, [12, 20, 30]);
      await person.patient(page.evaluate(
        `(() => {
          const video = document.createElement("video");
          video.muted = true; video.autoplay = true; video.loop = true; video.width = 640;
          document.body.prepend(video);
          const player = new Hls({ maxBufferLength: ${ahead}, maxMaxBufferLength: ${ahead}, backBufferLength: 0, capLevelToPlayerSize: false });
          player.loadSource("https://${host}/media/film${film}/master.m3u8");
          player.attachMedia(video);
          globalThis.player = player;
          globalThis.film = video;
        })()`,
      ));
      person.count("films");
      const looks = between(random, 3, 9);
      for (let look = 0; look < looks && person.busy; look++) {
        await person.pause(time(9000, 0.35, 4000, 20_000));
        await person.call(page, "stats.video.test", [
          objectPath(between(random, 40, 300), 20, "seen.json"),
        ], between(random, 300, 2500));
        if (random.float() < 0.12) {
          await person.patient(page.evaluate(`film.currentTime = ${random.integer(56)}`));
          person.count("seeks");
        }
        if (random.float() < 0.15) {
          // Down to the comments: more pictures.
          const paths = Array.from(
            { length: between(random, 2, 8) },
            () =>
              objectPath(
                between(random, 1500, 9000),
                between(random, 5, 60),
                `face${random.integer(500)}.svg`,
              ),
          );
          await person.show(page, "thumbs.video.test", paths);
        }
      }
      const frames = await page.evaluate("film.getVideoPlaybackQuality().totalVideoFrames")
        .catch(() => 0);
      person.did["frames shown"] = (person.did["frames shown"] ?? 0) + Number(frames);
      await person.patient(page.evaluate("player.destroy()"));
    }
    await window.close();
    await person.pause(time(2500, 0.6, 800, 10_000));
  }
}

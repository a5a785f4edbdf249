import { between } from "../../workload/distribution.ts";
import { objectPath } from "../page.ts";
import { type Person, time } from "./person.ts";

/** News: a list that is looked at again and again, articles with pictures, and pauses to read. */
export async function news(person: Person): Promise<void> {
  const { random } = person;
  while (person.busy) {
    const window = await person.newWindow();
    const page = await window.newPage();
    for (let rounds = between(random, 2, 5); rounds > 0 && person.busy; rounds--) {
      await person.open(page, "www.news.test", "list", random.integer(2000));
      await person.pause(time(3500, 0.5, 1200, 12_000));
      await person.patient(page.mouse.wheel(0, between(random, 600, 4000)));
      await person.pause(time(2500, 0.5, 800, 8000));
      for (let articles = between(random, 1, 4); articles > 0 && person.busy; articles--) {
        await person.open(page, "www.news.test", "article", random.integer(5000));
        for (let part = between(random, 1, 4); part > 0 && person.busy; part--) {
          await person.pause(time(5000, 0.6, 1500, 20_000));
          await person.patient(page.mouse.wheel(0, between(random, 400, 1500)));
          const paths = [objectPath(between(random, 40, 400), between(random, 5, 60), "read.json")];
          await person.call(page, "api.news.test", paths, between(random, 150, 900));
          if (random.float() < 0.3) {
            const picture = objectPath(
              between(random, 12_000, 160_000),
              30,
              `photo${random.integer(9999)}.svg`,
            );
            await person.show(page, "img.news.test", [picture]);
          }
        }
      }
    }
    await window.close();
    await person.pause(time(2500, 0.6, 600, 9000));
  }
}

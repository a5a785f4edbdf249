import { between, pick } from "../../workload/distribution.ts";
import { SITES } from "../applications.ts";
import { type Person, time } from "./person.ts";

/** A browser over several sites, with pages of their own kinds and files of hosts that they share. */
export async function browser(person: Person): Promise<void> {
  const { random } = person;
  const sites = Object.entries(SITES);
  while (person.busy) {
    // A few visits with one memory: what sites share is fetched once.
    const window = await person.newWindow();
    for (let visits = between(random, 2, 5); visits > 0 && person.busy; visits--) {
      const [site, kind] = pick(random, sites);
      const page = await window.newPage();
      for (let pages = between(random, 1, 5); pages > 0 && person.busy; pages--) {
        await person.open(page, `www.${site}.test`, kind, random.integer(5000));
        await person.patient(page.mouse.wheel(0, between(random, 300, 3000)));
        await person.pause(time(5500, 0.7, 1500, 30_000));
      }
      await page.close();
    }
    await window.close();
    await person.pause(time(2000, 0.6, 500, 8000));
  }
}

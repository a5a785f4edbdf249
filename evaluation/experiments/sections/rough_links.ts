import type { Cell, EvaluationSection } from "../../../report/evaluation_result.ts";
import type { JobResults } from "../jobs.ts";
import type { PlannedJobs, Results } from "../plan.ts";
import { type PlaybackFigures, ROUGH_LINKS } from "../rough_link.ts";
import { number } from "./words.ts";

/** Playback under loss, jitter and a rate drop: what changes, and what must not. */
export function roughLinkSection(planned: PlannedJobs, results: Results): EvaluationSection {
  const all = planned.roughLinks.map(({ job, link, model }) => ({
    model,
    link,
    found: results[job] as JobResults["rough-link"],
  }));
  const changed = all.filter(({ found }) => found.same < found.connections);
  const late = Math.max(0, ...all.map(({ found }) => found.rough.late[2]));
  const both = (value: (figures: PlaybackFigures) => string, found: typeof all[number]["found"]) =>
    `${value(found.smooth)} → ${value(found.rough)}`;
  return {
    title: "Playback under loss, jitter and a rate drop",
    text: [
      "Cover with one seed over the laboratory's link and over a rough one, simulated: what each side says in turn must stay the same, byte for byte and in the same order, for the plan knows nothing of the network. Times between messages change, as those of the real protocol do: a response is timed from its request, the next request from the response. Against real traffic on such links nothing is compared here: the samples were recorded on a link without loss.",
    ],
    facts: all.length === 0 ? [] : [
      {
        good: changed.length === 0,
        text: changed.length === 0
          ? "Sizes and order are the same in every connection on every link."
          : `Sizes or order change: ${
            changed.map(({ found, link, model }) =>
              `${model} under ${link} in ${found.connections - found.same} of ${found.connections}`
            ).join(", ")
          }.`,
      },
      {
        text:
          `The latest record was written ${number(late)} ms after the time that the plan asks ` +
          "for after its trigger. In virtual time nothing but a full socket can delay one; how late sockets and timers are is bench/lateness.ts and bench/wire_follows_plan.ts.",
      },
    ],
    tables: all.length === 0 ? [] : [{
      title: "What a rough link changes (simulated): laboratory's link → rough link",
      head: [
        "Model and link",
        "Each side's sizes and order are the same in",
        "KS of times between messages",
        "Time between messages, median, ms",
        "The same, 95 %, ms",
        "Connection lasts, median, s",
        "Given up",
      ],
      note:
        "Same turns: a recorder at the client's end sees both sides' bytes in the same order; what two sides say at the same time may change places when times do, as in the real protocol.",
      rows: all.map(({ found, link, model }): Cell[] => [
        { text: `${model}, ${link}`, note: ROUGH_LINKS[link]!.words },
        {
          text: `${found.same} of ${found.connections}`,
          note: `${found.sameTurns} in the same turns`,
          mark: found.same === found.connections ? "good" : "bad",
        },
        {
          text: found.gapsKs.toFixed(2),
          note: `other seed, same link ${found.gapsKsFloor.toFixed(2)}`,
        },
        both(({ gaps }) => number(gaps[0]), found),
        both(({ gaps }) => number(gaps[1]), found),
        both(({ duration }) => number(duration / 1000), found),
        both(({ faults }) => String(faults), found),
      ]),
    }],
    figures: [],
  };
}

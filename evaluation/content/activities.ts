import { CLIENT, SERVER, type Side } from "../../capture/side.ts";
import { between, type LogNormal, logNormal, uniform } from "../../lab/workload/distribution.ts";
import { mailWorkload } from "../../lab/workload/smtp.ts";
import { type SshTask, sshWorkload } from "../../lab/workload/ssh.ts";
import { type Random, seededRandom } from "../../lab/random.ts";
import type { Process, Stage, Talk } from "./stage.ts";
import { recordBytes } from "./tls_sizes.ts";
import { browse } from "./web_visits.ts";

/** What a user may be doing. */
export const ACTIVITIES = ["nothing", "web", "ssh-typing", "ssh-copy", "mail", "voice"] as const;

/** One of {@linkcode ACTIVITIES}. */
export type Activity = typeof ACTIVITIES[number];

/** Told of the time of each key that is pressed. */
export type OnKey = (time: number) => void;

/** What one side says and the other answers, in bytes, one after another. */
type Dialogue = readonly (readonly [client: number, server: number])[];

/** OpenSSH's own words up to a session, packets as in `samples/ssh`: client, then server. */
const SSH_OPENING: Dialogue = [
  [41, 41],
  [1560, 1088],
  [1208, 1564],
  [60, 44],
  [60, 44],
  [140, 100],
  [308, 28],
  [112, 444],
  [44, 44],
];
/** A packet with one key, and one with its echo. */
const KEY = 36;
const ECHO = 36;
const PACKET = 32_768;
const PACKET_OVERHEAD = 44;
/** Bytes that a command prints. */
const OUTPUT: LogNormal = { median: 600, sigma: 1.2, min: 36, max: 12_000 };
const COMMAND: LogNormal = { median: 6, sigma: 0.9, min: 1, max: 150 };
const FILE: LogNormal = { median: 45_000, sigma: 1.1, min: 5_000, max: 500_000 };

function* dialogue(stage: Stage, talk: Talk, turns: Dialogue, random: Random): Process {
  for (const [client, server] of turns) {
    if (client > 0) {
      talk.send(CLIENT, client);
      yield talk.arrived(SERVER);
    }
    yield stage.pause(uniform(random, 0.3, 3));
    talk.send(SERVER, server);
    yield talk.arrived(CLIENT);
  }
}

/**
 * Somebody types commands, with the gaps of human hands, and reads what they print, in a session that was opened
 * before. Hands do not wait for the network: when keys are pressed depends on nothing that can be seen.
 */
function* typeCommands(stage: Stage, random: Random, onKey: OnKey): Process {
  const talk = stage.connect();
  // Echoes and outputs go on beside the typing.
  function* answer(bytes: number): Process {
    yield talk.arrived(SERVER);
    yield stage.pause(uniform(random, 0.2, 1));
    talk.send(SERVER, ECHO);
    if (bytes === 0) return;
    yield stage.pause(logNormal(random, COMMAND));
    talk.send(SERVER, bytes);
  }
  for (;;) {
    for (const keys of shellTasks(random)) {
      for (const { after, text } of keys) {
        yield stage.pause(after);
        onKey(stage.now);
        talk.send(CLIENT, KEY + 8 * Math.floor(text.length / 8));
        stage.run(answer(text === "\r" ? Math.round(logNormal(random, OUTPUT)) : 0));
      }
    }
  }
}

/** The keys of the laboratory's shell sessions, without their ends: nobody logs out here. */
function shellTasks(random: Random) {
  const { users } = sshWorkload(seededRandom("content shell", random.integer(1e9)));
  const isShell = (task: SshTask) => task.kind === "shell";
  return users.flatMap(({ tasks }) => tasks.map(({ task }) => task)).filter(isShell)
    .map(({ keys }) => keys.slice(0, keys.findLastIndex(({ text }) => text === "\r") + 1));
}

/** Somebody copies files, one after another. */
function* copyFiles(stage: Stage, random: Random): Process {
  for (;;) {
    const talk = stage.connect();
    yield* dialogue(stage, talk, [...SSH_OPENING, [68, 76], [68, 76], [76, 52]], random);
    const from: Side = random.float() < 0.5 ? CLIENT : SERVER;
    for (let left = between(random, 1, 4); left > 0; left--) {
      const size = Math.round(logNormal(random, FILE));
      talk.send(from, size + PACKET_OVERHEAD * Math.ceil(size / PACKET));
      yield talk.arrived(from === CLIENT ? SERVER : CLIENT);
      yield* dialogue(stage, talk, [[68, 68]], random);
      yield stage.pause(logNormal(random, { median: 800, sigma: 0.6, min: 200, max: 4000 }));
    }
    talk.pipe.close();
  }
}

/** Somebody sends mails by submission with STARTTLS, sizes as in `samples/smtp`. */
function* sendMails(stage: Stage, random: Random): Process {
  const [sender] = mailWorkload(seededRandom("content mail", random.integer(1e9)));
  for (const { after, task } of sender!.tasks) {
    yield stage.pause(after);
    const talk = stage.connect();
    yield* dialogue(stage, talk, [[0, 36], [25, 167], [10, 30], [517, 1380], [80, 255]], random);
    yield* dialogue(stage, talk, [[47, 175]], random);
    for (const mail of task.mails) {
      yield stage.pause(mail.after);
      const from = 30 + mail.from.length;
      yield* dialogue(stage, talk, [[from, 36], [30 * mail.to.length + 22, 36], [28, 59]], random);
      talk.send(CLIENT, recordBytes(mail.text.length));
      yield talk.arrived(SERVER);
      yield* dialogue(stage, talk, [[0, 59]], random);
    }
    yield* dialogue(stage, talk, [[28, 37]], random);
    talk.pipe.close();
  }
}

/** Milliseconds between packets of a call. */
const FRAME = 20;

/** Two people talk: a packet each 20 ms each way, larger while one speaks, some bytes of comfort noise while not. */
function* call(stage: Stage, random: Random): Process {
  const talk = stage.connect();
  yield* dialogue(stage, talk, [[517, 799], [64, 574], [600, 500]], random);
  function* speak(from: Side): Process {
    const { clock } = stage.network;
    let due = clock.now();
    let speaks = from === CLIENT;
    let left = 0;
    for (;;) {
      if (left-- <= 0) {
        speaks = !speaks;
        left = Math.round(logNormal(random, { median: 70, sigma: 0.6, min: 15, max: 400 }));
      }
      talk.send(from, recordBytes(12 + (speaks ? between(random, 60, 120) : 8)));
      due += FRAME;
      yield (resume) => void clock.at(due, resume);
    }
  }
  yield stage.all([speak(CLIENT), speak(SERVER)]);
}

function* nothing(): Process {}

/** Somebody does `activity` until the stage ends. */
export function perform(
  activity: Activity,
  stage: Stage,
  random: Random,
  onKey: OnKey = () => {},
): Process {
  switch (activity) {
    case "nothing":
      return nothing();
    case "web":
      return browse(stage, random);
    case "ssh-typing":
      return typeCommands(stage, random, onKey);
    case "ssh-copy":
      return copyFiles(stage, random);
    case "mail":
      return sendMails(stage, random);
    case "voice":
      return call(stage, random);
  }
}

import type { Random } from "../random.ts";
import {
  base64Lines,
  between,
  type LogNormal,
  logNormal,
  prose,
  weighted,
  wholeLogNormal,
  word,
} from "./distribution.ts";
import { userPauses } from "./pauses.ts";

/** One mail. */
export interface Mail {
  /** Envelope sender. */
  readonly from: string;
  /** Envelope recipients. */
  readonly to: readonly string[];
  /** The message, headers included, lines ended by a line feed. */
  readonly text: string;
  /** Milliseconds after the mail before it on the same connection. */
  readonly after: number;
}

/** One connection: which program sends, and what. */
export interface MailTask {
  /** `swaks` sends one mail a connection, `curl` several, `postfix` is a mail server that relays. */
  readonly program: "swaks" | "curl" | "postfix";
  /** Mails in order. */
  readonly mails: readonly Mail[];
}

/** A sender: connections, one after another, each after a pause of `after` milliseconds. */
export interface MailSender {
  /** What to send, and when. */
  readonly tasks: readonly { readonly after: number; readonly task: MailTask }[];
}

const BODY: LogNormal = { median: 3_000, sigma: 1.0, min: 700, max: 40_000 };
const ATTACHMENT: LogNormal = { median: 40_000, sigma: 0.9, min: 4_000, max: 260_000 };
const PAUSE: LogNormal = { median: 350, sigma: 0.7, min: 60, max: 1500 };
const GAP: LogNormal = { median: 1_000, sigma: 0.8, min: 100, max: 3_000 };

function mail(random: Random): Mail {
  const to = Array.from(
    { length: random.float() < 0.8 ? 1 : between(random, 2, 5) },
    () => `${word(random, between(random, 3, 14))}@example.net`,
  );
  const from = `${word(random, between(random, 3, 14))}@example.com`;
  const boundary = word(random, 24);
  const body = prose(random, wholeLogNormal(random, BODY));
  const attached = random.float() < 0.35;
  const headers = [
    `From: <${from}>`,
    `To: ${to.map((address) => `<${address}>`).join(", ")}`,
    `Subject: ${word(random, between(random, 5, 60))}`,
    "Date: Mon, 01 Jan 2024 12:00:00 +0000",
    `Message-ID: <${word(random, 20)}@example.com>`,
    "MIME-Version: 1.0",
  ];
  const text = attached
    ? [
      ...headers,
      `Content-Type: multipart/mixed; boundary="${boundary}"`,
      "",
      `--${boundary}`,
      "Content-Type: text/plain; charset=utf-8",
      "",
      body,
      `--${boundary}`,
      `Content-Type: application/octet-stream; name="${word(random, 8)}.bin"`,
      "Content-Transfer-Encoding: base64",
      "",
      base64Lines(random, wholeLogNormal(random, ATTACHMENT)),
      `--${boundary}--`,
      "",
    ]
    : [...headers, "Content-Type: text/plain; charset=utf-8", "", body];
  return { from, to, text: text.join("\n"), after: logNormal(random, PAUSE) };
}

function task(random: Random): MailTask {
  const program = weighted(random, { swaks: 0.35, curl: 0.4, postfix: 0.25 });
  const count = program === "swaks" ? 1 : Number(
    weighted(random, { "1": 0.4, "2": 0.25, "3": 0.15, "4": 0.12, "5": 0.08 }),
  );
  return { program, mails: Array.from({ length: count }, () => mail(random)) };
}

/** Connections of one sender in a hurry. */
const MOST_TASKS = 40;

/**
 * Senders, with more connections than fit in a run, which ends by time: two in a hurry, or `people` with
 * {@linkcode userPauses}.
 */
export function mailWorkload(random: Random, people?: number): MailSender[] {
  return Array.from({ length: people ?? 2 }, () => ({
    tasks: people === undefined
      ? Array.from({ length: MOST_TASKS }, () => ({
        after: logNormal(random, GAP),
        task: task(random),
      }))
      : userPauses(random).map((after) => ({ after, task: task(random) })),
  }));
}

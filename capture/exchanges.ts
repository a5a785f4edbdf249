import type { Exchange, Message } from "./message.ts";
import { CLIENT } from "./side.ts";

/**
 * Groups messages (in order of time, as {@linkcode messagesOf} gives them) into exchanges: each client
 * message with the server's messages up to the next one. A client that speaks twice in a row makes an
 * exchange without responses. What the server says before the client's first message belongs to no exchange
 * and is left out: {@linkcode greetingOf} returns it.
 *
 * @example
 * ```ts
 * import { exchangesOf } from "./exchanges.ts";
 * import type { Message } from "./message.ts";
 * const message = (side: 0 | 1, size: number): Message => ({
 *   side, size, time: 0, end: 0, segments: 1, records: [], lead: 0, think: 0,
 * });
 * const exchanges = exchangesOf([message(0, 100), message(1, 500), message(1, 30), message(0, 80)]);
 * if (exchanges.map((e) => e.responses.length).join() !== "2,0") throw new Error("wrong");
 * ```
 */
export function exchangesOf(messages: readonly Message[]): Exchange[] {
  const exchanges: { request: Message; responses: Message[] }[] = [];
  for (const message of messages) {
    if (message.side === CLIENT) exchanges.push({ request: message, responses: [] });
    else exchanges.at(-1)?.responses.push(message);
  }
  return exchanges;
}

/** The server's messages before the client's first: a greeting, in protocols where the server speaks first. */
export function greetingOf(messages: readonly Message[]): Message[] {
  const first = messages.findIndex(({ side }) => side === CLIENT);
  return messages.slice(0, first < 0 ? messages.length : first);
}

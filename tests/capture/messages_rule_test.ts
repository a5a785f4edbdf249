import assert from "node:assert/strict";
import type { Connection } from "../../capture/connection.ts";
import { exchangesOf, greetingOf } from "../../capture/exchanges.ts";
import type { Message } from "../../capture/message.ts";
import { type MessageOptions, messagesOf } from "../../capture/messages.ts";
import { data, join, tls13 } from "./handshake_bytes.ts";
import { assembleOne, Talk } from "./tcp_talk.ts";

const ALL: MessageOptions = { handshake: "included" };

function brief(connection: Connection, options = ALL): [number, number][] {
  return messagesOf(connection, options).map(({ side, size }) => [side, size]);
}

Deno.test("a message is all that one side sends until it hears the other", () => {
  const talk = new Talk().open(20).send(0, 100).send(0, 200).wait(20).send(1, 1448).send(1, 52);
  talk.wait(1).send(0, 10);
  assert.deepEqual(brief(assembleOne(talk.packets)), [[0, 300], [1, 1500], [0, 10]]);
});

Deno.test("what was in flight when the peer spoke stays with the message before", () => {
  const talk = new Talk().open(40).send(0, 100).wait(40).send(1, 1448).ack(0);
  // The client speaks again; the server's next two segments have not heard of it.
  const heard = talk.next[0];
  talk.wait(1).send(0, 70).wait(1).send(1, 1448, heard).send(1, 500, heard);
  talk.wait(40).send(1, 300);
  const messages = messagesOf(assembleOne(talk.packets), ALL);
  assert.deepEqual(messages.map(({ side, size }) => [side, size]), [
    [0, 100],
    [1, 1448 + 1948],
    [0, 70],
    [1, 300],
  ]);
  assert.deepEqual(messages.map(({ lead }) => lead), [0, 0, 0, 0]);
  assert.deepEqual(messages.map(({ segments }) => segments), [1, 3, 1, 1]);
});

Deno.test("lead counts the peer's bytes that the sender had not heard", () => {
  const talk = new Talk().open(40).send(0, 100).wait(40).send(1, 1000).ack(0).send(1, 600);
  const heard = talk.next[1] - 600;
  talk.wait(1).send(0, 70, heard);
  assert.deepEqual(messagesOf(assembleOne(talk.packets), ALL).map(({ lead }) => lead), [0, 0, 600]);
});

Deno.test("silence longer than the idle gap ends a message", () => {
  const talk = new Talk().open(20).send(0, 100).wait(499).send(0, 50).wait(501).send(0, 25);
  const connection = assembleOne(talk.packets);
  assert.deepEqual(brief(connection), [[0, 150], [0, 25]]);
  assert.deepEqual(brief(connection, { ...ALL, idleGap: 100 }), [[0, 100], [0, 50], [0, 25]]);
  const far = new Talk().open(300, 5).send(0, 100).wait(601).send(0, 50).wait(611).send(0, 25);
  assert.deepEqual(brief(assembleOne(far.packets)), [[0, 150], [0, 25]]);
});

Deno.test("a pause that the network did not make splits a message, if asked to", () => {
  const split: MessageOptions = { ...ALL, pauses: "split" };
  // The second write waits for the acknowledgement of the first, as Nagle's algorithm has it.
  const held = new Talk().open(40).send(0, 100).wait(40).send(1, 444).wait(81).send(1, 44);
  const connection = assembleOne(held.packets);
  assert.deepEqual(brief(connection), [[0, 100], [1, 488]]);
  assert.deepEqual(brief(connection, split), [[0, 100], [1, 444], [1, 44]]);
  assert.equal(messagesOf(connection, split)[2]!.think, 81);
  // A window that is full waits for acknowledgements too: that is the network's doing.
  const full = new Talk().open(40).send(0, 100).wait(40);
  for (let i = 0; i < 10; i++) full.send(1, 1448);
  full.wait(40).send(1, 1448);
  assert.deepEqual(brief(assembleOne(full.packets), split), [[0, 100], [1, 11 * 1448]]);
});

Deno.test("think times: round trips are subtracted, on the side that they belong to", () => {
  const talk = new Talk().open(40, 6).wait(10).send(0, 100); // the client thinks for 10
  talk.wait(40 + 25).send(1, 500).ack(0); // the server for 25
  talk.wait(6 + 90).send(0, 100); // the client for 90
  talk.wait(38).send(1, 500); // faster than the round trip of the opening: 0
  const thinks = messagesOf(assembleOne(talk.packets), ALL).map(({ think }) => think);
  assert.deepEqual(thinks, [10, 25, 90, 0]);
});

Deno.test("a message after silence thinks since its own predecessor", () => {
  const talk = new Talk().open(40).send(0, 100).wait(40).send(1, 500).wait(700).send(1, 500);
  assert.deepEqual(messagesOf(assembleOne(talk.packets), ALL).map(({ think }) => think), [
    0,
    0,
    700,
  ]);
});

Deno.test("a server that greets thinks since the connection was established", () => {
  const talk = new Talk().open(40, 2).wait(40 + 15).send(1, 50).wait(2 + 3).send(0, 20);
  const messages = messagesOf(assembleOne(talk.packets), ALL);
  assert.deepEqual(messages.map(({ think }) => think), [15, 3]);
  assert.deepEqual(greetingOf(messages).map(({ size }) => size), [50]);
  assert.deepEqual(exchangesOf(messages).map(({ request }) => request.size), [20]);
});

Deno.test("a segment lost and sent again belongs where its stream puts it", () => {
  const talk = new Talk().open(40).send(0, 100).wait(40).send(1, 1448);
  const lost = talk.next[1];
  talk.next[1] += 1448;
  talk.send(1, 1448).wait(1).send(0, 50).wait(40); // the server hears this before it repeats
  const after = talk.next[1];
  talk.next[1] = lost;
  talk.send(1, 1448);
  talk.next[1] = after;
  talk.send(1, 700);
  const messages = messagesOf(assembleOne(talk.packets), ALL);
  assert.deepEqual(messages.map(({ side, size }) => [side, size]), [
    [0, 100],
    [1, 3 * 1448],
    [0, 50],
    [1, 700],
  ]);
  assert.equal(messages[1]!.time, 80);
  assert.equal(messages[1]!.end, 121);
});

Deno.test("a TLS record belongs to the message in which it starts", () => {
  const answer = join(tls13.tickets, data(3000), data(500));
  const begin = () => {
    const talk = new Talk().open(40).send(0, tls13.hello).wait(40).send(1, tls13.flight);
    talk.send(0, join(tls13.finished, data(100))).wait(40);
    return talk.send(1, answer.subarray(0, 1000));
  };
  const records = (talk: Talk) =>
    messagesOf(assembleOne(talk.packets)).map((message) => {
      assert.equal(message.records.reduce((sum, size) => sum + size, 0), message.size);
      return [message.side, ...message.records];
    });
  // Silence inside a record is the network's.
  assert.deepEqual(records(begin().wait(900).send(1, answer.subarray(1000))), [
    [0, 100],
    [1, 3000, 500],
  ]);
  // A request heard inside a record is answered by the next record at the earliest.
  const heard = begin().wait(1).send(0, data(70)).wait(40).send(1, answer.subarray(1000));
  assert.deepEqual(records(heard), [[0, 100], [1, 3000], [0, 70], [1, 500]]);
});

Deno.test("records that the capture ends in are not listed", () => {
  const talk = new Talk().open(40).send(0, tls13.hello).wait(40).send(1, tls13.flight);
  talk.send(0, join(tls13.finished, data(100))).wait(40);
  talk.send(1, join(tls13.tickets, data(3000)).subarray(0, 2000));
  const [, answer] = messagesOf(assembleOne(talk.packets));
  assert.deepEqual([answer!.size, answer!.records], [2000 - 510, []]);
});

Deno.test("exchanges: one request each, with the responses up to the next", () => {
  const message = (side: 0 | 1, size: number): Message => ({
    side,
    size,
    time: 0,
    end: 0,
    segments: 1,
    records: [],
    lead: 0,
    think: 0,
  });
  const exchanges = exchangesOf([
    message(1, 9),
    message(0, 1),
    message(1, 2),
    message(1, 3),
    message(0, 4),
    message(0, 5),
  ]);
  assert.deepEqual(
    exchanges.map(({ request, responses }) => [request.size, ...responses.map((r) => r.size)]),
    [[1, 2, 3], [4], [5]],
  );
});

import assert from "node:assert/strict";
import fc from "fast-check";
import { CLIENT, SERVER } from "../../capture/side.ts";
import { annotateFromLogs, type LoggedRecord } from "../../lab/annotate_recording.ts";
import { RecordedStream } from "../../lab/recorded_stream.ts";
import type { LinkConnection } from "../../lab/userspace_link.ts";

const OVERHEAD = 22;

function logged(control: number, data: number, padding: number, port = "40000"): LoggedRecord {
  const size = control + data + padding + OVERHEAD;
  return { connection: port, what: "record", size, control, data, padding };
}

function connection(client: RecordedStream, server: RecordedStream): LinkConnection {
  const streams = [client, server] as const;
  return {
    index: 0,
    clientPort: 40000,
    targetPort: 50000,
    openedAt: 0,
    bytes: [client.length, server.length],
    records: (side) => streams[side].records,
    closed: true,
  };
}

function stream(...records: readonly (readonly [type: number, size: number])[]): RecordedStream {
  const recorded = new RecordedStream("handshake");
  for (const [type, size] of records) {
    const bytes = new Uint8Array(size);
    bytes.set([type, 3, 3, size - 5 >> 8, size - 5 & 255]);
    recorded.push(bytes);
  }
  return recorded;
}

Deno.test("logged records are found behind the handshake and before the alert", () => {
  const client = stream([22, 300], [20, 6], [23, 74], [23, 122], [23, 1022], [23, 24]);
  const server = stream([22, 127], [23, 500], [23, 122]);
  const annotate = annotateFromLogs([connection(client, server)], {
    client: [logged(40, 10, 50), { ...logged(0, 0, 0), what: "open" }, logged(0, 900, 100)],
    server: [logged(1, 2, 97, "50000")],
  });
  const ask = (side: 0 | 1, start: number, end: number) =>
    annotate({ connection: connection(client, server), side, start, end });
  assert.equal(ask(CLIENT, 0, 380), undefined);
  assert.deepEqual(ask(CLIENT, 380, 502), { control: 40, data: 10, padding: 50 });
  // Over two records, and a part of one: header, control, data, padding, tag.
  assert.deepEqual(ask(CLIENT, 380, 1000), { control: 40, data: 10 + 493, padding: 50 });
  assert.deepEqual(ask(CLIENT, 1000, 1524), { control: 0, data: 407, padding: 100 });
  assert.equal(ask(CLIENT, 1524, 1548), undefined);
  assert.deepEqual(ask(SERVER, 627, 749), { control: 1, data: 2, padding: 97 });
});

Deno.test("logs that do not fit, or are of another connection, give no comments", () => {
  const client = stream([23, 100], [23, 200]);
  const ask = (records: readonly LoggedRecord[]) =>
    annotateFromLogs([connection(client, stream())], { client: records, server: [] })({
      connection: connection(client, stream()),
      side: CLIENT,
      start: 0,
      end: 300,
    });
  assert.equal(ask([logged(1, 1, 1)]), undefined);
  assert.equal(ask([logged(0, 0, 78, "1")]), undefined);
  assert.equal(ask([]), undefined);
  // The connection was cut before the third record left.
  assert.deepEqual(ask([logged(0, 8, 70), logged(8, 70, 100), logged(9, 9, 9)]), {
    control: 8,
    data: 78,
    padding: 170,
  });
});

Deno.test("property: over any segments the kinds add up to what was logged", () => {
  const record = fc.tuple(fc.nat(300), fc.nat(300), fc.nat(300));
  fc.assert(fc.property(
    fc.array(record, { minLength: 1, maxLength: 10 }),
    fc.array(fc.nat(9000), { maxLength: 10 }),
    (records, cuts) => {
      const log = records.map(([control, data, padding]) => logged(control, data, padding));
      const client = stream([22, 99], ...log.map(({ size }) => [23, size] as const));
      const made = connection(client, stream());
      const annotate = annotateFromLogs([made], { client: log, server: [] });
      const at = [0, ...cuts.filter((cut) => cut < client.length), client.length];
      at.sort((a, b) => a - b);
      const sum = { control: 0, data: 0, padding: 0 };
      for (let i = 1; i < at.length; i++) {
        if (at[i] === at[i - 1]) continue;
        const start = at[i - 1]!;
        const end = at[i]!;
        const part = annotate({ connection: made, side: CLIENT, start, end });
        if (part === undefined) continue;
        assert.ok(part.control + part.data + part.padding <= end - start);
        sum.control += part.control;
        sum.data += part.data;
        sum.padding += part.padding;
      }
      const total = (kind: "control" | "data" | "padding") =>
        log.reduce((all, record) => all + record[kind], 0);
      assert.deepEqual(sum, {
        control: total("control"),
        data: total("data"),
        padding: total("padding"),
      });
    },
  ));
});

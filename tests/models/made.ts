import type { Connection, SegmentTable } from "../../capture/connection.ts";
import type { Exchange, Message } from "../../capture/message.ts";
import type { CoverModel } from "../../models/cover_model.ts";
import { type LearnedModel, learnModel } from "../../models/learn/learn.ts";
import { Observer, type ObserverOptions } from "../../models/learn/observer.ts";
import { LEARNABLE_PROTOCOLS } from "../../models/learn/protocols.ts";
import { modelFromFile } from "../../models/registry.ts";
import { SeededRandom } from "../../models/random.ts";

/** A generator of test data: the number chooses the stream. */
export function randomOf(number: number): SeededRandom {
  const key = new Uint8Array(32);
  new DataView(key.buffer).setUint32(0, number);
  return new SeededRandom(key);
}

const NO_SEGMENTS: SegmentTable = {
  length: 0,
  time: new Float64Array(),
  side: new Uint8Array(),
  size: new Uint32Array(),
  offset: new Float64Array(),
  acked: new Float64Array(),
};

/** A whole https connection made by hand; `changes` says what differs. */
export function connectionOf(changes: Partial<Connection> = {}): Connection {
  const startTime = changes.startTime ?? 1_700_000_000_000;
  const endTime = changes.endTime ?? startTime + 1_000;
  return {
    capture: "made",
    index: 0,
    clientAddress: "192.0.2.7",
    clientPort: 50_000,
    serverAddress: "198.51.100.9",
    serverPort: 443,
    startTime,
    endTime,
    start: "syn",
    end: { how: "fin", by: 0, time: endTime - startTime },
    oneSided: false,
    rtt: { client: 0, server: 40 },
    segments: NO_SEGMENTS,
    records: {
      length: 0,
      side: new Uint8Array(),
      offset: new Float64Array(),
      size: new Uint32Array(),
      type: new Uint8Array(),
    },
    handshake: {
      carrier: "tls",
      end: "observed",
      bytes: [600, 3_000],
      duration: 80,
      version: "1.3",
    },
    missingBytes: [0, 0],
    truncatedSegments: 0,
    ...changes,
  };
}

/** A message made by hand. */
export function messageOf(side: 0 | 1, size: number, changes: Partial<Message> = {}): Message {
  return {
    side,
    time: 0,
    end: 0,
    size,
    segments: 1,
    records: [size],
    lead: 0,
    think: 0,
    ...changes,
  };
}

/** A browsing connection of 1 to 6 exchanges with records, varied sizes and some fixed ones. */
export function browsing(random: SeededRandom): Exchange[] {
  const exchanges: Exchange[] = [];
  let time = 100;
  for (let left = 1 + random.integer(6); left > 0; left--) {
    const think = random.float() * (exchanges.length === 0 ? 5 : 200);
    const request = messageOf(0, random.integer(3) === 0 ? 517 : 300 + random.integer(400), {
      think,
      time: time += think + 40,
      end: time,
    });
    const body = random.integer(4) === 0 ? 50_000 : 1_000 + random.integer(40_000);
    const records = [250];
    for (let rest = body; rest > 0; rest -= 16_406) {
      records.push(Math.min(Math.max(rest, 23), 16_406));
    }
    const size = records.reduce((sum, record) => sum + record, 0);
    const wait = 1 + random.float() * 10;
    const response = messageOf(1, size, {
      records,
      think: wait,
      time: time += wait + 40,
      end: time,
    });
    exchanges.push({ request, responses: [response] });
  }
  return exchanges;
}

/** Observations of `count` connections that `make` returns the exchanges of. */
export function observe(
  count: number,
  make: (random: SeededRandom, index: number) => Exchange[],
  options: Partial<ObserverOptions> = {},
): Observer {
  const random = randomOf(11);
  const observer = new Observer({
    protocol: LEARNABLE_PROTOCOLS[0]!,
    seed: new Uint8Array(32),
    ...options,
  });
  for (let index = 0; index < count; index++) {
    const exchanges = make(random, index);
    const last = exchanges.at(-1);
    const time = ((last?.responses.at(-1) ?? last?.request)?.end ?? 0) + 5;
    const startTime = 1_700_000_000_000 + index * 2_000;
    observer.add(
      connectionOf({ startTime, endTime: startTime + time, end: { how: "fin", by: 0, time } }),
      () => exchanges.flatMap(({ request, responses }) => [request, ...responses]),
    );
  }
  observer.endCapture();
  return observer;
}

/** Learns a model of a kind. */
export function learn(observer: Observer, kind: string): LearnedModel {
  return learnModel(observer, {
    protocol: LEARNABLE_PROTOCOLS[0]!,
    kind,
    captures: [{ name: "/home/someone/10.1.2.3-run.pcap", sha256: "0".repeat(64) }],
    seedNumber: 1,
    seed: new Uint8Array(32),
  });
}

/** The model of a learned file. */
export function modelOf(learned: LearnedModel): CoverModel {
  return modelFromFile(learned.text, "learned");
}

import assert from "node:assert/strict";
import fc from "fast-check";
import { FEATURE_SETS, featureSet } from "../../capture/feature_sets.ts";
import type { FlowRecord } from "../../capture/flow.ts";
import { PacketStatistics, STATISTICS } from "../../capture/packet_statistics.ts";

/** A flow of these signed lengths at these times. */
function flowOf(lengths: readonly number[], times: readonly number[]): FlowRecord {
  const sum = (sign: number) =>
    lengths.filter((length) => length * sign > 0).reduce((all, length) => all + length * sign, 0);
  return {
    burst: 0,
    first: 1e12,
    last: 1e12 + Math.max(0, ...times),
    version: 4,
    protocol: 6,
    end: "burst",
    sourceAddress: "10.0.0.1",
    sourcePort: 40000,
    destinationAddress: "10.0.0.2",
    destinationPort: 443,
    packetsSent: lengths.filter((length) => length > 0).length,
    packetsReceived: lengths.filter((length) => length < 0).length,
    bytesSent: sum(1),
    bytesReceived: sum(-1),
    lengths: Int32Array.from(lengths),
    times: Float64Array.from(times),
  };
}

function valuesOf(name: string, flow: FlowRecord): Record<string, number> {
  const set = featureSet(name);
  const row = new Float64Array(set.columns.length).fill(NaN);
  set.fill(flow, row);
  return Object.fromEntries(set.columns.map((column, i) => [column, row[i]!]));
}

function statisticsOf(list: readonly number[]): Record<string, number> {
  const collected = new PacketStatistics(1);
  for (const value of list) collected.add(value);
  const row = new Float64Array(STATISTICS.length).fill(NaN);
  collected.write(row, 0);
  return Object.fromEntries(STATISTICS.map((name, i) => [name, row[i]!]));
}

const length = fc.integer({ min: 40, max: 1500 });
const signed = fc.tuple(length, fc.boolean()).map(([size, up]) => up ? size : -size);
const flow = fc.array(fc.tuple(signed, fc.double({ min: 0, max: 900, noNaN: true })), {
  minLength: 1,
  maxLength: 60,
}).map((packets) => {
  const times: number[] = [];
  let now = 0;
  packets.forEach(([, gap], i) => times.push(now += i === 0 ? 0 : gap));
  return flowOf(packets.map(([size]) => size), times);
});

function near(a: number, b: number, scale = Math.max(1, Math.abs(a), Math.abs(b))): void {
  assert.ok(Math.abs(a - b) <= 1e-9 * scale, `${a} is not ${b}`);
}

Deno.test("the sets have the numbers of columns in their names, and no name twice", () => {
  assert.equal(FEATURE_SETS["seed5"]!.columns.length, 5);
  assert.equal(FEATURE_SETS["seed14"]!.columns.length, 14);
  assert.equal(FEATURE_SETS["appscanner54"]!.columns.length, 54);
  for (const [name, set] of Object.entries(FEATURE_SETS)) {
    assert.equal(set.name, name);
    assert.equal(new Set(set.columns).size, set.columns.length, name);
    for (const column of set.columns.filter(() => name === "appscanner54")) {
      assert.ok(FEATURE_SETS["timed"]!.columns.includes(column));
    }
  }
});

Deno.test("there is one clear line for a set that there is not", () => {
  assert.throws(
    () => featureSet("toString"),
    /there is no feature set "toString" \(there are seed5, seed14, appscanner54, timed\)/,
  );
});

Deno.test("the statistics are those that pandas gives", () => {
  // pandas: Series([40, 1500, 1500, 52, 583, 40]): min max mean std var skew kurt quantile(.1 .. .9) count,
  // and the median of the absolute distances from the median.
  const found = statisticsOf([40, 1500, 1500, 52, 583, 40]);
  const expected = {
    min: 40,
    max: 1500,
    mean: 619.1666666666666,
    mad: 277.5,
    std: 713.5248886105283,
    variance: 509117.7666666668,
    skew: 0.6571862569997156,
    kurtosis: -2.111451359176283,
    p10: 40,
    p20: 40,
    p30: 46,
    p40: 52,
    p50: 317.5,
    p60: 583,
    p70: 1041.5,
    p80: 1500,
    p90: 1500,
    count: 6,
  };
  for (const [name, value] of Object.entries(expected)) near(found[name]!, value);
});

Deno.test("a percentile has its share of the numbers on either side", () => {
  fc.assert(fc.property(fc.array(length, { minLength: 1, maxLength: 80 }), (list) => {
    const found = statisticsOf(list);
    for (let tenth = 1; tenth <= 9; tenth++) {
      const value = found[`p${tenth}0`]!;
      const below = list.filter((own) => own < value).length;
      const above = list.filter((own) => own > value).length;
      const reach = tenth / 10 * (list.length - 1);
      assert.ok(below <= Math.floor(reach) + 1 && above <= list.length - 1 - Math.floor(reach));
    }
  }));
});

Deno.test("the median deviation is the middle of the distances from the middle", () => {
  const median = (list: number[]) => {
    const sorted = list.toSorted((a, b) => a - b);
    return (sorted[(sorted.length - 1) >> 1]! + sorted[sorted.length >> 1]!) / 2;
  };
  fc.assert(fc.property(fc.array(length, { minLength: 1, maxLength: 40 }), (list) => {
    const middle = median(list);
    near(statisticsOf(list)["mad"]!, median(list.map((own) => Math.abs(own - middle))));
  }));
});

Deno.test("statistics do not depend on the order, and scale and shift as they must", () => {
  fc.assert(
    fc.property(
      fc.array(length, { minLength: 1, maxLength: 50 }),
      fc.integer({ min: 2, max: 9 }),
      (list, factor) => {
        const found = statisticsOf(list);
        const turned = statisticsOf(list.toReversed());
        const scaled = statisticsOf(list.map((own) => own * factor + 7));
        for (const name of STATISTICS) {
          near(found[name]!, turned[name]!);
          const power = name === "variance"
            ? 2
            : ["skew", "kurtosis", "count"].includes(name)
            ? 0
            : 1;
          const shift = ["min", "max", "mean"].includes(name) || name.startsWith("p") ? 7 : 0;
          const expected = found[name]! * factor ** power + shift;
          const tolerance = power === 0 ? 1e3 : Math.max(1, Math.abs(expected));
          near(scaled[name]!, expected, tolerance);
        }
      },
    ),
  );
});

Deno.test("every value of every set is a finite number", () => {
  fc.assert(fc.property(flow, (own) => {
    for (const name of Object.keys(FEATURE_SETS)) {
      for (const value of Object.values(valuesOf(name, own))) assert.ok(Number.isFinite(value));
    }
  }));
});

Deno.test("a flow seen from its other end has sent and received changed about", () => {
  fc.assert(fc.property(flow, (own) => {
    const back = flowOf([...own.lengths!].map((size) => -size), [...own.times!]);
    const here = valuesOf("timed", own);
    const there = valuesOf("timed", back);
    for (const [name, value] of Object.entries(here)) {
      if (/^length\d/.test(name)) assert.equal(there[name], value === 0 ? 0 : -value);
      else {
        const other = name.startsWith("sent") || name.startsWith("received")
          ? name.replace(/^sent|^received/, (side) => side === "sent" ? "received" : "sent")
          : name.replace(/Sent|Received/, (side) => side === "Sent" ? "Received" : "Sent");
        near(there[other]!, value);
      }
    }
  }));
});

Deno.test("only the timed sets see time", () => {
  fc.assert(fc.property(flow, fc.integer({ min: 2, max: 5 }), (own, factor) => {
    const slower = flowOf([...own.lengths!], [...own.times!].map((time) => time * factor));
    assert.deepEqual(valuesOf("seed5", own), valuesOf("seed5", slower));
    assert.deepEqual(valuesOf("appscanner54", own), valuesOf("appscanner54", slower));
    const here = valuesOf("seed14", own);
    const there = valuesOf("seed14", slower);
    for (const name of ["gapMin", "gapMax", "gapMean", "gapStd"]) {
      near(there[name]!, here[name]! * factor, 1e4);
    }
    for (const name of ["lengthMin", "lengthMax", "lengthMean", "lengthStd"]) {
      assert.equal(there[name], here[name]);
    }
  }));
});

Deno.test("the sets agree with each other, and with a flow counted by hand", () => {
  const own = flowOf([100, -1500, -1500, 60], [0, 30, 31, 90]);
  assert.deepEqual(valuesOf("seed14", own), {
    protocol: 6,
    packetsSent: 2,
    packetsReceived: 2,
    bytesSent: 160,
    bytesReceived: 3000,
    duration: 90,
    lengthMin: 60,
    lengthMax: 1500,
    lengthMean: 790,
    lengthStd: Math.sqrt((690 ** 2 + 710 ** 2 + 710 ** 2 + 730 ** 2) / 3),
    gapMin: 1,
    gapMax: 59,
    gapMean: 30,
    gapStd: 29,
  });
  const timed = valuesOf("timed", own);
  assert.equal(timed["turns"], 2);
  assert.equal(timed["sentGapMean"], 90);
  assert.equal(timed["receivedGapMean"], 1);
  assert.equal(timed["bothLengthCount"], 4);
  assert.equal(timed["length1"], -1500);
  assert.equal(timed["time3"], 90);
  assert.equal(timed["time4"], -1);
});

Deno.test("a flow without its packets is refused, except where they are not needed", () => {
  const { lengths: _, times: __, ...bare } = flowOf([100, -60], [0, 1]);
  assert.equal(valuesOf("seed5", bare)["bytesSent"], 100);
  assert.throws(() => valuesOf("appscanner54", bare), /record flows with `packets: true`/);
});

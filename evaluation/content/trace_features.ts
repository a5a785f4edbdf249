import type { Rows } from "../../plugins/attacks/scaler.ts";
import type { Trace } from "./trace.ts";

/** Packets of which the direction is counted at a trace's beginning and end. */
const ENDS = 30;
/** Packets of a chunk whose outgoing ones are counted. */
const CHUNK = 20;
/** Numbers that a long list is summed into. */
const PARTS = 20;
/** Points of the cumulative curve. */
const CURVE = 60;
/** Equal slots of the window in which bytes each way are counted. */
const SLOTS = 40;
/** Greatest sizes of the classes that packets are counted in, in each direction. */
const SIZES = [40, 64, 100, 160, 300, 600, 1000, 1447] as const;

const STATS = ["mean", "sd", "median", "max"] as const;

function names(): string[] {
  const list: string[] = [];
  for (const kind of ["in", "out", "all"]) {
    list.push(`packets ${kind}`, `bytes ${kind}`);
    for (const stat of ["mean", "sd", "max", "75 %"]) list.push(`gap ${kind} ${stat}`);
    for (const quarter of [25, 50, 75, 100]) list.push(`time ${kind} ${quarter} %`);
    for (const stat of STATS) list.push(`size ${kind} ${stat}`);
  }
  list.push("share in", "connections", "last opening");
  for (const kind of ["out", "in"]) list.push(`order ${kind} mean`, `order ${kind} sd`);
  for (const end of ["first", "last"]) list.push(`out in ${end} ${ENDS}`);
  for (const what of ["concentration", "packets a second"]) {
    for (const stat of STATS) list.push(`${what} ${stat}`);
    for (let i = 0; i < PARTS; i++) list.push(`${what} part ${i + 1}`);
  }
  for (const kind of ["out", "in"]) {
    for (let i = 0; i <= SIZES.length; i++) {
      list.push(`${kind} of ${i < SIZES.length ? `${SIZES[i]} bytes or less` : "full size"}`);
    }
  }
  for (let i = 0; i < CURVE; i++) list.push(`curve ${i + 1}`);
  for (const kind of ["out", "in"]) {
    for (let i = 0; i < SLOTS; i++) list.push(`bytes ${kind} in slot ${i + 1}`);
  }
  return list;
}

/** Names of the columns of {@linkcode traceRows}. */
export const TRACE_FEATURES: readonly string[] = names();

/** A list of numbers that is written again for every trace. */
class Numbers {
  values = new Float64Array(1024);
  length = 0;

  clear(): void {
    this.length = 0;
  }

  push(value: number): void {
    if (this.length === this.values.length) {
      const larger = new Float64Array(2 * this.length);
      larger.set(this.values);
      this.values = larger;
    }
    this.values[this.length++] = value;
  }

  add(index: number, value: number): void {
    while (this.length <= index) this.push(0);
    this.values[index]! += value;
  }

  mean(): number {
    if (this.length === 0) return 0;
    let sum = 0;
    for (let i = 0; i < this.length; i++) sum += this.values[i]!;
    return sum / this.length;
  }

  sd(): number {
    const mean = this.mean();
    let sum = 0;
    for (let i = 0; i < this.length; i++) sum += (this.values[i]! - mean) ** 2;
    return this.length < 2 ? 0 : Math.sqrt(sum / this.length);
  }

  /** In ascending order from now on. */
  sort(): void {
    this.values.subarray(0, this.length).sort();
  }

  /** A quantile of numbers in ascending order; 0 of none. */
  quantile(share: number): number {
    if (this.length === 0) return 0;
    return this.values[Math.min(this.length - 1, Math.floor(share * this.length))]!;
  }
}

/**
 * A trace as a row of numbers: the features of Hayes and Danezis, "k-fingerprinting" (USENIX Security 2016, section
 * 4: counts, order, concentration of outgoing packets, packets a second, gaps, times, first and last 30), with what
 * sizes tell besides (Tor's cells have none), Panchenko et al.'s cumulative curve (NDSS 2016), and the bytes of equal
 * slots of the window, as more recent attacks count them (Shen et al., USENIX Security 2023).
 */
export function traceRows(traces: readonly Trace[], window: number): Rows {
  const width = TRACE_FEATURES.length;
  const values = new Float64Array(traces.length * width);
  const list = new Numbers();
  let at = 0;
  const put = (value: number) => values[at++] = value;
  /** Means and the like of `list`, whose order is lost. */
  const stats = () => {
    put(list.mean());
    put(list.sd());
    list.sort();
    put(list.quantile(0.5));
    put(list.quantile(1));
  };
  /** `list` summed into so many parts, then its {@linkcode STATS} before them. */
  const statsAndParts = () => {
    const from = at + STATS.length;
    const length = Math.max(1, list.length);
    for (let i = 0; i < list.length; i++) {
      values[from + Math.floor(i * PARTS / length)]! += list.values[i]!;
    }
    stats();
    at += PARTS;
  };
  for (const { length, opened, size, time } of traces) {
    let into = 0;
    let bytesIn = 0;
    let bytesOut = 0;
    for (let i = 0; i < length; i++) {
      if (size[i]! < 0) {
        into++;
        bytesIn -= size[i]!;
      } else bytesOut += size[i]!;
    }
    for (const sign of [-1, 1, 0]) {
      const own = (i: number) => sign === 0 || Math.sign(size[i]!) === sign;
      put(sign === 0 ? length : sign < 0 ? into : length - into);
      put(sign === 0 ? bytesIn + bytesOut : sign < 0 ? bytesIn : bytesOut);
      list.clear();
      let before = -1;
      for (let i = 0; i < length; i++) {
        if (!own(i)) continue;
        if (before >= 0) list.push(time[i]! - before);
        before = time[i]!;
      }
      put(list.mean());
      put(list.sd());
      list.sort();
      put(list.quantile(1));
      put(list.quantile(0.75));
      list.clear();
      for (let i = 0; i < length; i++) if (own(i)) list.push(time[i]!);
      for (const share of [0.25, 0.5, 0.75, 1]) put(list.quantile(share));
      list.clear();
      for (let i = 0; i < length; i++) if (own(i)) list.push(Math.abs(size[i]!));
      stats();
    }
    put(length === 0 ? 0 : into / length);
    put(opened.length);
    put(opened.length === 0 ? -1 : opened[opened.length - 1]!);
    for (const sign of [1, -1]) {
      list.clear();
      for (let i = 0; i < length; i++) if (Math.sign(size[i]!) === sign) list.push(i);
      put(list.mean());
      put(list.sd());
    }
    for (const from of [0, Math.max(0, length - ENDS)]) {
      let out = 0;
      for (let i = from; i < Math.min(length, from + ENDS); i++) if (size[i]! > 0) out++;
      put(out);
    }
    list.clear();
    for (let i = 0; i < length; i++) list.add(Math.floor(i / CHUNK), +(size[i]! > 0));
    statsAndParts();
    list.clear();
    list.add(Math.max(0, Math.ceil(window / 1000) - 1), 0);
    for (let i = 0; i < length; i++) list.add(Math.floor(time[i]! / 1000), 1);
    statsAndParts();
    for (const sign of [1, -1]) {
      for (let i = 0; i < length; i++) {
        if (Math.sign(size[i]!) !== sign) continue;
        let kind = 0;
        while (kind < SIZES.length && Math.abs(size[i]!) > SIZES[kind]!) kind++;
        values[at + kind]!++;
      }
      at += SIZES.length + 1;
    }
    // The curve of bytes in less bytes out, at equal distances along all packets.
    let sum = 0;
    let packet = 0;
    for (let i = 0; i < CURVE; i++) {
      const until = Math.ceil((i + 1) * length / CURVE);
      for (; packet < until; packet++) sum -= size[packet]!;
      put(sum);
    }
    const step = window / SLOTS;
    for (let i = 0; i < length; i++) {
      const slot = Math.min(SLOTS - 1, Math.floor(time[i]! / step));
      if (size[i]! > 0) values[at + slot]! += size[i]!;
      else values[at + SLOTS + slot]! -= size[i]!;
    }
    at += 2 * SLOTS;
  }
  return { count: traces.length, width, values };
}

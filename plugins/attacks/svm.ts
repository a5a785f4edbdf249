import { ByteReader, ByteWriter, DamagedBytesError } from "./bytes.ts";
import { fitScaler, logarithms, type Rows, scale, type Scaler } from "./scaler.ts";
import { type BinarySolution, type Kernel, kernelOf, solveBinary } from "./svm_solver.ts";

/**
 * What is done to features before distances or products are taken: nothing, z-scores, or z-scores of
 * their logarithms.
 */
export type Scaling = "none" | "standard" | "log";

/** How a support vector classifier is trained. */
export interface SupportVectorOptions {
  /** Degree of the polynomial kernel; 1 is linear. */
  readonly degree: number;
  /** What is done to the features first. */
  readonly scaling: Scaling;
  /** The cost of being wrong about a row; 1 unless told. */
  readonly cost?: number;
  /** Weight of each class; 1 unless told. */
  readonly weights?: readonly number[];
  /** Pairs of weights that are changed before a problem is given up; 200,000 unless told. */
  readonly most?: number;
  /** Called as pairs of classes are done. */
  readonly onProgress?: (done: number, total: number) => void;
}

/** What tells two classes apart. */
interface Pair {
  readonly first: number;
  readonly second: number;
  /** The support vectors, as rows of the classifier's table, and their weights. */
  readonly rows: Uint32Array;
  readonly weight: Float64Array;
  readonly bias: number;
  /** Platt's sigmoid: the probability of `first` is `1 / (1 + exp(slope * decision + shift))`. */
  readonly slope: number;
  readonly shift: number;
}

/** What a support vector classifier is made of. */
interface Parts {
  readonly kernel: Kernel;
  readonly scaling: Scaling;
  readonly scaler: Scaler;
  readonly classes: number;
  readonly pairs: readonly Pair[];
  /** The support vectors of all pairs, scaled. */
  readonly vectors: Rows;
}

const SCALINGS: readonly Scaling[] = ["none", "standard", "log"];
const VERSION = 1;

/**
 * A support vector classifier with a linear or polynomial kernel: one classifier for each pair of
 * classes, trained by {@linkcode solveBinary}, whose decisions become probabilities by Platt's sigmoid
 * (Lin, Lin and Weng 2007) and are coupled to one distribution (Wu, Lin and Weng 2004). The sigmoids are
 * fitted to the training rows themselves, so that shares near 0 and 1 are too sure of themselves.
 *
 * @example
 * ```ts
 * import { SupportVectorClassifier } from "./svm.ts";
 * const rows = { count: 4, width: 1, values: Float64Array.of(1, 2, 8, 9) };
 * const labels = Uint16Array.of(0, 0, 1, 1);
 * const options = { degree: 1, scaling: "standard" } as const;
 * const svm = SupportVectorClassifier.train(rows, labels, 2, options);
 * const shares = svm.shares({ count: 1, width: 1, values: Float64Array.of(10) });
 * if (shares[1]! < 0.5) throw new Error("10 is on the side of 8 and 9");
 * ```
 */
export class SupportVectorClassifier {
  /** Pairs of weights that training changed in all. */
  readonly iterations: number;
  /** Pairs of classes that were given up before they had converged. */
  readonly givenUp: number;
  readonly #parts: Parts;

  private constructor(parts: Parts, iterations: number, givenUp: number) {
    this.#parts = parts;
    this.iterations = iterations;
    this.givenUp = givenUp;
  }

  /** Rows that decide. */
  get supportVectors(): number {
    return this.#parts.vectors.count;
  }

  /** Trains on `rows`, whose classes `labels` tells (0 up to `classes`). */
  static train(
    rows: Rows,
    labels: Uint16Array,
    classes: number,
    options: SupportVectorOptions,
  ): SupportVectorClassifier {
    const { scaling, degree } = options;
    const scaler = scalerFor(rows, scaling);
    const scaled = applyScaling(rows, scaling, scaler);
    const { width, values } = scaled;
    const kernel = { degree, gamma: degree === 1 ? 1 : 1 / width, offset: degree === 1 ? 0 : 1 };
    const members = Array.from({ length: classes }, () => [] as number[]);
    for (let row = 0; row < rows.count; row++) members[labels[row]!]!.push(row);
    const present = members.flatMap((own, label) => own.length > 0 ? [label] : []);
    const place = new Map<number, number>();
    const pairs: Pair[] = [];
    let iterations = 0;
    let givenUp = 0;
    const total = present.length * (present.length - 1) / 2;
    for (const [a, first] of present.entries()) {
      for (const second of present.slice(a + 1)) {
        options.onProgress?.(pairs.length, total);
        const own = [...members[first]!, ...members[second]!];
        const ahead = members[first]!.length;
        const cost = (row: number) =>
          (options.cost ?? 1) * (options.weights?.[row < ahead ? first : second] ?? 1);
        const picked = new Float64Array(own.length * width);
        own.forEach((row, i) =>
          picked.set(values.subarray(row * width, (row + 1) * width), i * width)
        );
        const problem = {
          count: own.length,
          width,
          values: picked,
          sign: Int8Array.from(own, (_, i) => i < ahead ? 1 : -1),
          cost: Float64Array.from(own, (_, i) => cost(i)),
        };
        const solution = solveBinary(problem, kernel, options.most ?? 200_000);
        iterations += solution.iterations;
        if (!solution.converged) givenUp++;
        const support = own.map((row, i) => [row, i] as const)
          .filter(([, i]) => solution.weight[i] !== 0);
        const sigmoid = fitSigmoid(decisions(solution, support, kernel, problem), problem.sign);
        pairs.push({
          first,
          second,
          rows: Uint32Array.from(support, ([row]) => {
            if (!place.has(row)) place.set(row, place.size);
            return place.get(row)!;
          }),
          weight: Float64Array.from(support, ([, i]) => solution.weight[i]!),
          bias: solution.bias,
          ...sigmoid,
        });
      }
    }
    const vectors = new Float64Array(place.size * width);
    for (const [row, at] of place) {
      vectors.set(values.subarray(row * width, (row + 1) * width), at * width);
    }
    return new SupportVectorClassifier(
      {
        kernel,
        scaling,
        scaler,
        classes,
        pairs,
        vectors: { count: place.size, width, values: vectors },
      },
      iterations,
      givenUp,
    );
  }

  /** Row-major `count x classes`: how likely each class is. */
  shares(rows: Rows): Float64Array {
    const { kernel, scaling, scaler, classes, pairs, vectors } = this.#parts;
    const { values, width } = applyScaling(rows, scaling, scaler);
    const products = new Float64Array(vectors.count);
    const against = new Float64Array(classes * classes);
    // A class without training rows is in no pair, and never likely.
    const present = [...new Set(pairs.flatMap(({ first, second }) => [first, second]))];
    const shares = new Float64Array(rows.count * classes);
    for (let row = 0; row < rows.count; row++) {
      for (let v = 0; v < vectors.count; v++) {
        products[v] = kernelOf(kernel, values, row, vectors.values, v, width);
      }
      const base = row * classes;
      for (const { first, second, rows: own, weight, bias, slope, shift } of pairs) {
        let decision = -bias;
        for (let v = 0; v < own.length; v++) decision += weight[v]! * products[own[v]!]!;
        const likely = sigmoid(slope * decision + shift);
        against[first * classes + second] = likely;
        against[second * classes + first] = 1 - likely;
      }
      couple(against, classes, present, shares.subarray(base, base + classes));
    }
    return shares;
  }

  /** The classifier as bytes, the same on every architecture. */
  encode(): Uint8Array<ArrayBuffer> {
    const { kernel, scaling, scaler, classes, pairs, vectors } = this.#parts;
    const writer = new ByteWriter();
    writer.u16(VERSION);
    writer.u16(kernel.degree);
    writer.f64(kernel.gamma);
    writer.f64(kernel.offset);
    writer.u8(SCALINGS.indexOf(scaling));
    writer.u16(scaler.columns.length);
    writer.u16s(scaler.columns);
    writer.f64s(scaler.mean);
    writer.f64s(scaler.deviation);
    writer.u16(classes);
    writer.u32(vectors.count);
    writer.f64s(vectors.values);
    writer.u32(pairs.length);
    for (const { first, second, rows, weight, bias, slope, shift } of pairs) {
      writer.u16(first);
      writer.u16(second);
      writer.u32(rows.length);
      for (const row of rows) writer.u32(row);
      writer.f64s(weight);
      writer.f64(bias);
      writer.f64(slope);
      writer.f64(shift);
    }
    return writer.done();
  }

  /**
   * Reads what {@linkcode SupportVectorClassifier.encode} wrote.
   *
   * @throws {DamagedBytesError} if the bytes are not that.
   */
  static decode(bytes: Uint8Array): SupportVectorClassifier {
    const reader = new ByteReader(bytes);
    const check = (fine: boolean, what: string) => {
      if (!fine) throw new DamagedBytesError(what, reader.offset);
    };
    check(reader.u16() === VERSION, "a support vector classifier of another version");
    const kernel = { degree: reader.u16(), gamma: reader.f64(), offset: reader.f64() };
    check(kernel.degree > 0, "a kernel without a degree");
    const scaling = SCALINGS[reader.u8()];
    const columns = Array.from(reader.u16s(reader.u16()));
    const width = columns.length;
    const scaler = { columns, mean: reader.f64s(width), deviation: reader.f64s(width) };
    const classes = reader.u16();
    const count = reader.u32();
    const vectors = { count, width, values: reader.f64s(count * width) };
    const pairs: Pair[] = [];
    for (let left = reader.u32(); left > 0; left--) {
      const first = reader.u16();
      const second = reader.u16();
      check(first < classes && second < classes, "a class that there is not");
      const size = reader.u32();
      check(size <= count, "more support vectors than there are");
      const rows = Uint32Array.from({ length: size }, () => reader.u32());
      check(rows.every((row) => row < count), "a support vector that there is not");
      const weight = reader.f64s(size);
      const [bias, slope, shift] = [reader.f64(), reader.f64(), reader.f64()];
      pairs.push({ first, second, rows, weight, bias, slope, shift });
    }
    check(reader.left === 0, "more bytes than the classifier has");
    check(scaling !== undefined, "an unknown scaling");
    return new SupportVectorClassifier(
      { kernel, scaling: scaling!, scaler, classes, pairs, vectors },
      0,
      0,
    );
  }
}

function scalerFor(rows: Rows, scaling: Scaling): Scaler {
  const columns = Array.from({ length: rows.width }, (_, column) => column);
  const fitted = fitScaler(scaling === "log" ? logarithms(rows) : rows, columns);
  if (scaling !== "none") return fitted;
  return { ...fitted, mean: fitted.mean.map(() => 0), deviation: fitted.deviation.map(() => 1) };
}

function applyScaling(rows: Rows, scaling: Scaling, scaler: Scaler): Rows {
  return scale(scaling === "log" ? logarithms(rows) : rows, scaler);
}

/** The decision about each row of a problem. */
function decisions(
  { bias, weight }: BinarySolution,
  support: readonly (readonly [number, number])[],
  kernel: Kernel,
  problem: { count: number; width: number; values: Float64Array },
): Float64Array {
  const { count, width, values } = problem;
  return Float64Array.from({ length: count }, (_, i) => {
    let decision = -bias;
    for (const [, s] of support) {
      decision += weight[s]! * kernelOf(kernel, values, s, values, i, width);
    }
    return decision;
  });
}

/** Probabilities nearer to 0 and 1 than this are not believed. */
const SURE = 1e-7;

/**
 * Makes one distribution of the probabilities of each class against each other (Wu, Lin and Weng 2004,
 * section 4, algorithm 2), written to `into`.
 *
 * @param against Row-major: the probability of the row's class against the column's.
 */
function couple(
  against: Float64Array,
  classes: number,
  present: readonly number[],
  into: Float64Array,
): void {
  const r = (a: number, b: number) => Math.min(1 - SURE, Math.max(SURE, against[a * classes + b]!));
  const size = present.length;
  const q = new Float64Array(size * size);
  present.forEach((a, i) =>
    present.forEach((b, j) => {
      if (i === j) return;
      q[i * size + i]! += r(b, a) ** 2;
      q[i * size + j] = -r(b, a) * r(a, b);
    })
  );
  const p = new Float64Array(size).fill(1 / size);
  const qp = new Float64Array(size);
  for (let round = 0; round < Math.max(100, size); round++) {
    let pqp = 0;
    for (let i = 0; i < size; i++) {
      let sum = 0;
      for (let j = 0; j < size; j++) sum += q[i * size + j]! * p[j]!;
      qp[i] = sum;
      pqp += p[i]! * sum;
    }
    if (qp.every((own) => Math.abs(own - pqp) < 0.005 / size)) break;
    for (let i = 0; i < size; i++) {
      const off = (pqp - qp[i]!) / q[i * size + i]!;
      p[i]! += off;
      pqp = (pqp + off * (off * q[i * size + i]! + 2 * qp[i]!)) / (1 + off) ** 2;
      for (let j = 0; j < size; j++) {
        qp[j] = (qp[j]! + off * q[i * size + j]!) / (1 + off);
        p[j]! /= 1 + off;
      }
    }
  }
  present.forEach((label, i) => into[label] = p[i]!);
}

/** `1 / (1 + exp(x))` without overflow. */
function sigmoid(x: number): number {
  return x >= 0 ? Math.exp(-x) / (1 + Math.exp(-x)) : 1 / (1 + Math.exp(x));
}

/** Platt's sigmoid by Newton's method with backtracking (Lin, Lin and Weng 2007, appendix). */
function fitSigmoid(decision: Float64Array, sign: Int8Array): { slope: number; shift: number } {
  const positives = sign.reduce((sum, own) => sum + +(own > 0), 0);
  const negatives = sign.length - positives;
  const high = (positives + 1) / (positives + 2);
  const low = 1 / (negatives + 2);
  const target = Float64Array.from(sign, (own) => own > 0 ? high : low);
  const objective = (slope: number, shift: number) => {
    let sum = 0;
    for (let i = 0; i < target.length; i++) {
      const x = slope * decision[i]! + shift;
      sum += x >= 0
        ? target[i]! * x + Math.log1p(Math.exp(-x))
        : (target[i]! - 1) * x + Math.log1p(Math.exp(x));
    }
    return sum;
  };
  let slope = 0;
  let shift = Math.log((negatives + 1) / (positives + 1));
  let value = objective(slope, shift);
  for (let round = 0; round < 100; round++) {
    let [h11, h22, h21, g1, g2] = [1e-12, 1e-12, 0, 0, 0];
    for (let i = 0; i < target.length; i++) {
      const own = decision[i]!;
      const p = sigmoid(slope * own + shift);
      const d2 = p * (1 - p);
      h11 += own * own * d2;
      h22 += d2;
      h21 += own * d2;
      g1 += own * (target[i]! - p);
      g2 += target[i]! - p;
    }
    if (Math.abs(g1) < 1e-5 && Math.abs(g2) < 1e-5) break;
    const det = h11 * h22 - h21 * h21;
    const da = -(h22 * g1 - h21 * g2) / det;
    const db = -(-h21 * g1 + h11 * g2) / det;
    const slant = g1 * da + g2 * db;
    let step = 1;
    for (; step >= 1e-10; step /= 2) {
      const next = objective(slope + step * da, shift + step * db);
      if (next < value + 1e-4 * step * slant) {
        slope += step * da;
        shift += step * db;
        value = next;
        break;
      }
    }
    if (step < 1e-10) break;
  }
  return { slope, shift };
}

/** The product of two rows in the space that a support vector classifier separates them in. */
export interface Kernel {
  /** Degree of the polynomial; 1 is linear, the plain dot product. */
  readonly degree: number;
  /** Factor of the dot product. */
  readonly gamma: number;
  /** What is added to it before it is raised. */
  readonly offset: number;
}

/** The kernel of row `a` of `left` and row `b` of `right`, both of `width` columns. */
export function kernelOf(
  { degree, gamma, offset }: Kernel,
  left: Float64Array,
  a: number,
  right: Float64Array,
  b: number,
  width: number,
): number {
  let dot = 0;
  for (let j = 0, l = a * width, r = b * width; j < width; j++) dot += left[l + j]! * right[r + j]!;
  const base = gamma * dot + offset;
  let power = base;
  for (let d = 1; d < degree; d++) power *= base;
  return power;
}

/** Two classes to be separated. */
export interface BinaryProblem {
  /** Number of rows. */
  readonly count: number;
  /** Columns of a row. */
  readonly width: number;
  /** Row-major values. */
  readonly values: Float64Array;
  /** 1 or -1 for each row. */
  readonly sign: Int8Array;
  /** The most that each row may weigh: the cost of being wrong about it. */
  readonly cost: Float64Array;
}

/** What separates them: `sum(weight[i] * kernel(row i, x)) - bias` is above 0 for class 1. */
export interface BinarySolution {
  /** Signed weight of each row; 0 for rows that do not matter. */
  readonly weight: Float64Array;
  /** What is taken off. */
  readonly bias: number;
  /** Pairs of weights that were changed. */
  readonly iterations: number;
  /** False if it was given up before the optimality conditions held. */
  readonly converged: boolean;
}

/** How far the optimality conditions may be missed. */
const TOLERANCE = 1e-3;
/** Curvature that takes the place of one that is not positive. */
const FLAT = 1e-12;
/** Numbers of kernel rows kept at once, 4 bytes each. */
const KEPT = 50_000_000;

/** Rows of the kernel matrix, of which the latest used are kept. */
class KernelRows {
  readonly #rows = new Map<number, Float32Array>();
  readonly #most: number;

  constructor(readonly problem: BinaryProblem, readonly kernel: Kernel) {
    this.#most = Math.max(2, Math.floor(KEPT / problem.count));
  }

  row(i: number): Float32Array {
    let row = this.#rows.get(i);
    if (row !== undefined) {
      this.#rows.delete(i);
      this.#rows.set(i, row);
      return row;
    }
    if (this.#rows.size >= this.#most) {
      const [oldest, reused] = this.#rows.entries().next().value!;
      this.#rows.delete(oldest);
      row = reused;
    } else row = new Float32Array(this.problem.count);
    const { count, values, width } = this.problem;
    for (let j = 0; j < count; j++) row[j] = kernelOf(this.kernel, values, i, values, j, width);
    this.#rows.set(i, row);
    return row;
  }
}

/**
 * Solves the dual of a C-support vector classifier by sequential minimal optimisation: two weights at a
 * time, chosen by second-order information (Fan, Chen and Lin, JMLR 2005, algorithm 2), until the
 * optimality conditions hold within 0.001 or `most` pairs were changed.
 */
export function solveBinary(problem: BinaryProblem, kernel: Kernel, most: number): BinarySolution {
  const { count, values, width, sign, cost } = problem;
  const rows = new KernelRows(problem, kernel);
  const alpha = new Float64Array(count);
  const gradient = new Float64Array(count).fill(-1);
  const diagonal = Float64Array.from(
    { length: count },
    (_, i) => kernelOf(kernel, values, i, values, i, width),
  );
  let iterations = 0;
  let converged = false;
  for (; iterations < most; iterations++) {
    let i = -1;
    let up = -Infinity;
    for (let t = 0; t < count; t++) {
      const may = sign[t]! > 0 ? alpha[t]! < cost[t]! : alpha[t]! > 0;
      const own = -sign[t]! * gradient[t]!;
      if (may && own > up) {
        up = own;
        i = t;
      }
    }
    if (i < 0) {
      converged = true;
      break;
    }
    const first = rows.row(i);
    let j = -1;
    let low = Infinity;
    let best = Infinity;
    for (let t = 0; t < count; t++) {
      const may = sign[t]! > 0 ? alpha[t]! > 0 : alpha[t]! < cost[t]!;
      if (!may) continue;
      const own = -sign[t]! * gradient[t]!;
      if (own < low) low = own;
      const gap = up - own;
      if (gap <= 0) continue;
      const curve = diagonal[i]! + diagonal[t]! - 2 * first[t]!;
      const gain = -gap * gap / (curve > 0 ? curve : FLAT);
      if (gain < best) {
        best = gain;
        j = t;
      }
    }
    if (j < 0 || up - low < TOLERANCE) {
      converged = true;
      break;
    }
    const second = rows.row(j);
    const curve = Math.max(FLAT, diagonal[i]! + diagonal[j]! - 2 * first[j]!);
    // The step along which both change, cut off where one of them reaches 0 or its cost.
    let step = (up + sign[j]! * gradient[j]!) / curve;
    step = Math.min(step, sign[i]! > 0 ? cost[i]! - alpha[i]! : alpha[i]!);
    step = Math.min(step, sign[j]! > 0 ? alpha[j]! : cost[j]! - alpha[j]!);
    alpha[i] = clamp(alpha[i]! + sign[i]! * step, cost[i]!);
    alpha[j] = clamp(alpha[j]! - sign[j]! * step, cost[j]!);
    for (let t = 0; t < count; t++) {
      gradient[t]! += sign[t]! * step * (first[t]! - second[t]!);
    }
  }
  return {
    weight: alpha.map((own, t) => own * sign[t]!),
    bias: biasOf(alpha, gradient, sign, cost),
    iterations,
    converged,
  };
}

function clamp(value: number, most: number): number {
  // Rounding must not leave a weight a hair's breadth inside its bounds, where it would be picked again.
  if (value < 1e-12 * most) return 0;
  return value > most * (1 - 1e-12) ? most : value;
}

function biasOf(
  alpha: Float64Array,
  gradient: Float64Array,
  sign: Int8Array,
  cost: Float64Array,
): number {
  let free = 0;
  let sum = 0;
  let low = -Infinity;
  let high = Infinity;
  for (let t = 0; t < alpha.length; t++) {
    const own = sign[t]! * gradient[t]!;
    if (alpha[t]! > 0 && alpha[t]! < cost[t]!) {
      free++;
      sum += own;
    } else if (alpha[t]! > 0 === sign[t]! > 0) low = Math.max(low, own);
    else high = Math.min(high, own);
  }
  if (free > 0) return sum / free;
  if (low === -Infinity) return Number.isFinite(high) ? high : 0;
  return high === Infinity ? low : (low + high) / 2;
}

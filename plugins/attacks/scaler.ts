import { EigenvalueDecomposition, Matrix } from "ml-matrix";
import type { LabelledSamples, SampleSet, TrainingNotes } from "../attack.ts";

/** Rows of numbers, one a sample. */
export interface Rows {
  /** Number of rows. */
  readonly count: number;
  /** Numbers a row. */
  readonly width: number;
  /** Row-major `count x width`. */
  readonly values: Float64Array;
}

/** The feature columns of samples, or their logarithms (`log(1 + x)`, odd about 0). */
export function featureRows(samples: SampleSet, log: boolean): Rows {
  const rows = {
    count: samples.count,
    width: samples.featureNames.length,
    values: samples.features,
  };
  return log ? logarithms(rows) : { ...rows, values: rows.values.slice() };
}

/** The logarithms of all values: `log(1 + x)`, odd about 0. */
export function logarithms(rows: Rows): Rows {
  const values = rows.values.slice();
  for (let i = 0; i < values.length; i++) {
    values[i] = Math.sign(values[i]!) * Math.log1p(Math.abs(values[i]!));
  }
  return { ...rows, values };
}

/** Z-scores with the statistics of training rows, over the columns that carry something. */
export interface Scaler {
  /** Columns that are kept, ascending. */
  readonly columns: readonly number[];
  /** Mean of each kept column. */
  readonly mean: Float64Array;
  /** Standard deviation of each kept column, never 0. */
  readonly deviation: Float64Array;
}

/**
 * Measures means and standard deviations of `columns` over the rows that `use` picks (all unless told).
 * Columns that do not vary are left out.
 */
export function fitScaler(
  rows: Rows,
  columns: readonly number[],
  use: (row: number) => boolean = () => true,
): Scaler {
  const kept: number[] = [];
  const means: number[] = [];
  const deviations: number[] = [];
  for (const column of columns) {
    let count = 0;
    let sum = 0;
    for (let row = 0; row < rows.count; row++) {
      if (!use(row)) continue;
      sum += rows.values[row * rows.width + column]!;
      count++;
    }
    const mean = sum / count;
    let squares = 0;
    for (let row = 0; row < rows.count; row++) {
      if (use(row)) squares += (rows.values[row * rows.width + column]! - mean) ** 2;
    }
    const deviation = Math.sqrt(squares / count);
    if (!(deviation > 1e-9 * Math.max(1, Math.abs(mean)))) continue;
    kept.push(column);
    means.push(mean);
    deviations.push(deviation);
  }
  return {
    columns: kept,
    mean: Float64Array.from(means),
    deviation: Float64Array.from(deviations),
  };
}

/** The z-scores of all rows. */
export function scale(rows: Rows, scaler: Scaler): Rows {
  const width = scaler.columns.length;
  const values = new Float64Array(rows.count * width);
  for (let row = 0; row < rows.count; row++) {
    for (let j = 0; j < width; j++) {
      const value = rows.values[row * rows.width + scaler.columns[j]!]!;
      values[row * width + j] = (value - scaler.mean[j]!) / scaler.deviation[j]!;
    }
  }
  return { count: rows.count, width, values };
}

/** Which features are fit for Euclidean distances, and how it was judged. */
export interface Conditioning {
  /** Columns that are kept. */
  readonly columns: readonly number[];
  /** Columns that do not vary, or that the others determine. */
  readonly dropped: readonly number[];
  /** Smallest over largest eigenvalue of the correlation matrix of what is kept; 1 is ideal. */
  readonly ratio: number;
}

/**
 * The seed's check that data is well conditioned: the ratio of the smallest to the largest eigenvalue of
 * the features' correlation matrix. While it is under `least`, the feature that weighs most in the
 * smallest eigenvalue's vector, which the others determine all but `least` of, is dropped.
 */
export function conditionFeatures(rows: Rows, least: number): Conditioning {
  const all = Array.from({ length: rows.width }, (_, column) => column);
  let columns = [...fitScaler(rows, all).columns];
  for (;;) {
    const { ratio, weakest } = eigenvalueRatio(rows, columns);
    if (ratio >= least || columns.length <= 1) {
      return { columns, dropped: all.filter((column) => !columns.includes(column)), ratio };
    }
    columns = columns.filter((_, index) => index !== weakest);
  }
}

function eigenvalueRatio(
  rows: Rows,
  columns: readonly number[],
): { ratio: number; weakest: number } {
  const width = columns.length;
  if (width === 0) return { ratio: 0, weakest: 0 };
  const { values } = scale(rows, fitScaler(rows, columns));
  const correlation = Matrix.zeros(width, width);
  for (let a = 0; a < width; a++) {
    for (let b = a; b < width; b++) {
      let sum = 0;
      for (let row = 0; row < rows.count; row++) {
        sum += values[row * width + a]! * values[row * width + b]!;
      }
      correlation.set(a, b, sum / rows.count);
      correlation.set(b, a, sum / rows.count);
    }
  }
  const eigen = new EigenvalueDecomposition(correlation, { assumeSymmetric: true });
  const found = eigen.realEigenvalues;
  let low = 0;
  let high = 0;
  found.forEach((value, index) => {
    if (value < found[low]!) low = index;
    if (value > found[high]!) high = index;
  });
  let weakest = 0;
  for (let row = 1; row < width; row++) {
    const weight = Math.abs(eigen.eigenvectorMatrix.get(row, low));
    if (weight > Math.abs(eigen.eigenvectorMatrix.get(weakest, low)) + 1e-9) weakest = row;
  }
  return { ratio: Math.max(0, found[low]!) / found[high]!, weakest };
}

/** Training samples as an attack by distances begins with them. */
export interface FitSamples {
  /** The features, or their logarithms. */
  readonly rows: Rows;
  /** Columns that are kept. */
  readonly columns: readonly number[];
  /** Means and deviations of these columns. */
  readonly scaler: Scaler;
  /** What to tell of it. */
  readonly notes: TrainingNotes;
}

/** Takes the features of training samples, or their logarithms, and leaves out what is not fit for distances. */
export function fitSamples(samples: LabelledSamples, log: boolean, eigen: number): FitSamples {
  const rows = featureRows(samples, log);
  const { columns, dropped, ratio } = conditionFeatures(rows, eigen);
  const name = (column: number) => samples.featureNames[column]!;
  return {
    rows,
    columns,
    scaler: fitScaler(rows, columns),
    notes: {
      features: columns.map(name),
      droppedFeatures: dropped.map(name),
      eigenvalueRatio: ratio,
      samples: samples.count,
    },
  };
}

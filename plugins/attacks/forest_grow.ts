import { Draws } from "./draws.ts";

/** Training rows as a grower reads them. All arrays may be shared between workers. */
export interface BinnedRows {
  /** Number of rows. */
  readonly count: number;
  /** Number of columns. */
  readonly width: number;
  /** Column-major `width x count`: the bin of each value. */
  readonly bins: Uint8Array;
  /** Row-major `count x stride`, the same bins: a row's columns share a cache line, for small nodes. */
  readonly rowBins: Uint8Array;
  /** Bytes from one row of `rowBins` to the next. */
  readonly stride: number;
  /** Class of each row. */
  readonly labels: Uint16Array;
  /** Number of classes. */
  readonly classes: number;
}

/** How each tree is grown. */
export interface GrowOptions {
  /** Columns that each split chooses among. */
  readonly tries: number;
  /** Samples that a leaf must hold. */
  readonly leaf: number;
  /** Seed of the forest. */
  readonly seed: number;
  /** Weight of each class. */
  readonly weights: Float64Array;
}

/** A tree, its nodes level by level: the two children of the k-th inner node are 1 + 2k and 2 + 2k. */
export interface Tree {
  /** Column of each inner node; -1 for a leaf. */
  readonly column: Int32Array;
  /** Greatest bin that goes left; for a leaf, which of the lists in `shares` is its own. */
  readonly split: Uint32Array;
  /** Lists of the classes' shares, in 65,535ths: whole numbers, whose sums depend on no order. */
  readonly shares: Uint16Array;
  /** Decrease of Gini impurity that each column brought, weighted by rows. */
  readonly gain: Float64Array;
}

/** One whole in the units of {@linkcode Tree.shares}. */
export const WHOLE = 65_535;

/** From this many rows on, a histogram of bins by class is cheaper than lists of rows by bin. */
const MANY = 400;

/** The seed of tree `index`: any two trees draw from streams of their own (the finaliser of MurmurHash3). */
export function treeSeed(seed: number, index: number): number {
  let hash = (seed ^ Math.imul(index + 1, 0x9e3779b1)) | 0;
  hash = Math.imul(hash ^ (hash >>> 16), 0x85ebca6b);
  hash = Math.imul(hash ^ (hash >>> 13), 0xc2b2ae35);
  return hash ^ (hash >>> 16);
}

/**
 * Grows trees one after the other on the same rows. What a tree is depends on the rows, the options and
 * its index alone, so that any number of growers share the work.
 */
export class TreeGrower {
  /** How often each row was drawn for the last tree; rows drawn never are out of its bag. */
  readonly drawn: Uint16Array;
  readonly #data: BinnedRows;
  readonly #options: GrowOptions;
  readonly #bag: Int32Array;
  readonly #spare: Int32Array;
  readonly #columns: Int32Array;
  readonly #packed: Int32Array;
  readonly #search: SplitSearch;

  /** Makes room for trees on `data`. */
  constructor(data: BinnedRows, options: GrowOptions) {
    this.#data = data;
    this.#options = options;
    this.drawn = new Uint16Array(data.count);
    this.#bag = new Int32Array(data.count);
    this.#spare = new Int32Array(data.count);
    this.#columns = new Int32Array(data.width);
    this.#packed = new Int32Array(data.count);
    this.#search = new SplitSearch(data, options, this.#bag, this.#packed);
  }

  /** Grows tree number `index` of the forest. */
  grow(index: number): Tree {
    const { count, width, classes, bins, labels } = this.#data;
    const draws = new Draws(treeSeed(this.#options.seed, index));
    const { drawn } = this;
    drawn.fill(0);
    // A row that is drawn more often than 32,767 times does not happen by chance.
    for (let i = 0; i < count; i++) drawn[draws.integer(count)]!++;
    const bag = this.#bag;
    const packed = this.#packed;
    let size = 0;
    for (let row = 0; row < count; row++) {
      packed[row] = drawn[row]! << 16 | labels[row]!;
      if (drawn[row]! > 0) bag[size++] = row;
    }

    const columns = this.#columns;
    for (let column = 0; column < width; column++) columns[column] = column;
    const gain = new Float64Array(width);
    const column: number[] = [];
    const split: number[] = [];
    const shares: number[] = [];
    const pure = new Int32Array(classes).fill(-1);
    const search = this.#search;
    // Nodes wait in the order of their numbers: level by level.
    const from = [0];
    const to = [size];
    for (let node = 0; node < from.length; node++) {
      const low = from[node]!;
      const high = to[node]!;
      if (!search.find(low, high, columns, draws)) {
        const { total, weight } = search;
        let own = 0;
        for (let c = 1; c < classes; c++) if (total[c]! > total[own]!) own = c;
        const isPure = total[own]! === weight;
        column.push(-1);
        // Most leaves hold one class only, and share their shares.
        if (isPure && pure[own]! >= 0) {
          split.push(pure[own]!);
          continue;
        }
        if (isPure) pure[own] = shares.length / classes;
        split.push(shares.length / classes);
        for (let c = 0; c < classes; c++) shares.push(Math.round(WHOLE * total[c]! / weight));
        continue;
      }
      const chosen = search.column;
      column.push(chosen);
      split.push(search.bin);
      gain[chosen]! += search.gain;
      const middle = this.#partition(low, high, bins, chosen * count, search.bin);
      from.push(low, middle);
      to.push(middle, high);
    }
    return {
      column: Int32Array.from(column),
      split: Uint32Array.from(split),
      shares: Uint16Array.from(shares),
      gain,
    };
  }

  /** Moves the rows whose bin is at most `bin` to the front, both sides in order; returns their end. */
  #partition(from: number, to: number, bins: Uint8Array, base: number, bin: number): number {
    const bag = this.#bag;
    const spare = this.#spare;
    let low = from;
    let high = 0;
    for (let i = from; i < to; i++) {
      const row = bag[i]!;
      const left = +(bins[base + row]! <= bin);
      bag[low] = row;
      spare[high] = row;
      low += left;
      high += 1 - left;
    }
    for (let i = 0; i < high; i++) bag[low + i] = spare[i]!;
    return low;
  }
}

/** Finds the best Gini split of a node. */
class SplitSearch {
  /** The column of the split found last. */
  column = 0;
  /** The greatest bin of its left side. */
  bin = 0;
  /** The decrease of impurity, weighted by rows. */
  gain = 0;
  /** Weight of each class in the node looked at last. */
  readonly total: Float64Array;
  /** Their sum. */
  weight = 0;

  readonly #data: BinnedRows;
  readonly #tries: number;
  readonly #leaf: number;
  readonly #weights: Float64Array;
  readonly #bag: Int32Array;
  readonly #rowPacked: Int32Array;
  readonly #shift: number;
  readonly #histogram: Int32Array;
  readonly #packed: Int32Array;
  readonly #head = new Int32Array(256).fill(-1);
  readonly #next = new Int32Array(MANY);
  readonly #occupied = new Int32Array(8);
  readonly #left: Float64Array;
  #score = -1;
  #samples = 0;
  #squares = 0;

  /** `rowPacked` holds, for each row, how often it was drawn (high 16 bits) and its class. */
  constructor(
    data: BinnedRows,
    options: GrowOptions,
    bag: Int32Array,
    rowPacked: Int32Array,
  ) {
    this.#data = data;
    this.#tries = options.tries;
    this.#leaf = options.leaf;
    this.#weights = options.weights;
    this.#bag = bag;
    this.#rowPacked = rowPacked;
    this.#shift = Math.ceil(Math.log2(Math.max(2, data.classes)));
    this.#histogram = new Int32Array(256 << this.#shift);
    this.#packed = new Int32Array(data.count);
    this.total = new Float64Array(data.classes);
    this.#left = new Float64Array(data.classes);
  }

  /** Looks at the rows `from .. to` of the bag; false if they make a leaf. */
  find(from: number, to: number, columns: Int32Array, draws: Draws): boolean {
    const { classes, count, bins, rowBins, stride } = this.#data;
    const bag = this.#bag;
    const rowPacked = this.#rowPacked;
    const packed = this.#packed;
    const weights = this.#weights;
    const total = this.total;
    for (let c = 0; c < classes; c++) total[c] = 0;
    let samples = 0;
    for (let i = from; i < to; i++) {
      const own = rowPacked[bag[i]!]!;
      packed[i - from] = own;
      total[own & 0xffff]! += own >>> 16;
      samples += own >>> 16;
    }
    let weight = 0;
    let squares = 0;
    for (let c = 0; c < classes; c++) {
      const own = total[c]! * weights[c]!;
      total[c] = own;
      weight += own;
      squares += own * own;
    }
    this.weight = weight;
    const pure = weight * (1 - 1e-12);
    if (squares >= weight * pure || samples < 2 * this.#leaf) return false;
    this.#samples = samples;
    this.#squares = squares;
    this.#score = -1;
    const size = to - from;
    // A column that does not vary here does not count as tried; nothing beats a split into two pure sides.
    for (
      let done = 0, tried = 0;
      done < columns.length && tried < this.#tries && this.#score < pure;
      done++
    ) {
      const swap = done + draws.integer(columns.length - done);
      const column = columns[swap]!;
      columns[swap] = columns[done]!;
      columns[done] = column;
      const varies = size < MANY
        ? this.#tryLists(from, size, rowBins, stride, column)
        : this.#tryHistogram(from, size, bins, column * count, column);
      if (varies) tried++;
    }
    if (this.#score < 0) return false;
    this.gain = Math.max(0, this.#score - squares / weight);
    return true;
  }

  /** Counts the rows by bin and class, and tries each split; false if the column does not vary. */
  #tryHistogram(
    from: number,
    size: number,
    bins: Uint8Array,
    base: number,
    column: number,
  ): boolean {
    const bag = this.#bag;
    const packed = this.#packed;
    const histogram = this.#histogram;
    const shift = this.#shift;
    let low = 255;
    let high = 0;
    for (let i = 0; i < size; i++) {
      const bin = bins[base + bag[from + i]!]!;
      const own = packed[i]!;
      if (bin < low) low = bin;
      if (bin > high) high = bin;
      histogram[(bin << shift) + (own & 0xffff)]! += own >>> 16;
    }
    if (low === high) {
      histogram.fill(0, low << shift, (high + 1) << shift);
      return false;
    }
    const total = this.total;
    const classes = total.length;
    const weight = this.weight;
    const weights = this.#weights;
    const left = this.#left.fill(0);
    const leaf = this.#leaf;
    const samples = this.#samples;
    let best = this.#score;
    let bestBin = -1;
    let leftSquares = 0;
    let rightSquares = this.#squares;
    let leftWeight = 0;
    let leftSamples = 0;
    for (let bin = low; bin < high; bin++) {
      let here = 0;
      const at = bin << shift;
      for (let c = 0; c < classes; c++) {
        const times = histogram[at + c]!;
        if (times === 0) continue;
        here += times;
        const more = times * weights[c]!;
        const had = left[c]!;
        leftSquares += more * (2 * had + more);
        rightSquares -= more * (2 * (total[c]! - had) - more);
        left[c] = had + more;
        leftWeight += more;
      }
      leftSamples += here;
      if (here === 0 || leftSamples < leaf) continue;
      if (samples - leftSamples < leaf) break;
      const rightWeight = weight - leftWeight;
      const over = leftSquares * rightWeight + rightSquares * leftWeight;
      const under = leftWeight * rightWeight;
      // Without a division for each split: it is the slowest of what is done here.
      if (over > best * under) {
        best = over / under;
        bestBin = bin;
      }
    }
    histogram.fill(0, low << shift, (high + 1) << shift);
    if (bestBin >= 0) {
      this.#score = best;
      this.column = column;
      this.bin = bestBin;
    }
    return true;
  }

  /** Puts the rows into lists by bin, and tries each split in the order of the bins that have any. */
  #tryLists(from: number, size: number, bins: Uint8Array, stride: number, column: number): boolean {
    const bag = this.#bag;
    const head = this.#head;
    const next = this.#next;
    const occupied = this.#occupied;
    let any = 0;
    let all = 255;
    for (let i = 0; i < size; i++) {
      const bin = bins[bag[from + i]! * stride + column]!;
      any |= bin;
      all &= bin;
      occupied[bin >>> 5]! |= 1 << (bin & 31);
      next[i] = head[bin]!;
      head[bin] = i;
    }
    if (any === all) {
      head[any] = -1;
      occupied[any >>> 5] = 0;
      return false;
    }
    const packed = this.#packed;
    const total = this.total;
    const weight = this.weight;
    const weights = this.#weights;
    const left = this.#left;
    for (let c = 0; c < left.length; c++) left[c] = 0;
    const leaf = this.#leaf;
    const samples = this.#samples;
    let best = this.#score;
    let bestBin = -1;
    let leftSquares = 0;
    let rightSquares = this.#squares;
    let leftWeight = 0;
    let leftSamples = 0;
    for (let word = 0; word < 8; word++) {
      let left32 = occupied[word]!;
      occupied[word] = 0;
      while (left32 !== 0) {
        const bin = word << 5 | (31 - Math.clz32(left32 & -left32));
        left32 &= left32 - 1;
        let i = head[bin]!;
        head[bin] = -1;
        do {
          const own = packed[i]!;
          i = next[i]!;
          const c = own & 0xffff;
          const times = own >>> 16;
          leftSamples += times;
          const more = times * weights[c]!;
          const had = left[c]!;
          leftSquares += more * (2 * had + more);
          rightSquares -= more * (2 * (total[c]! - had) - more);
          left[c] = had + more;
          leftWeight += more;
        } while (i >= 0);
        if (leftSamples < leaf || samples - leftSamples < leaf) continue;
        const rightWeight = weight - leftWeight;
        const over = leftSquares * rightWeight + rightSquares * leftWeight;
        const under = leftWeight * rightWeight;
        if (over > best * under) {
          best = over / under;
          bestBin = bin;
        }
      }
    }
    if (bestBin >= 0) {
      this.#score = best;
      this.column = column;
      this.bin = bestBin;
    }
    return true;
  }
}

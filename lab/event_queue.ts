interface Entry {
  readonly time: number;
  readonly order: number;
  readonly run: () => void;
}

function before(a: Entry, b: Entry): boolean {
  return a.time < b.time || (a.time === b.time && a.order < b.order);
}

/** Things to happen at times, the earliest first and of equals the one added first: a binary heap. */
export class EventQueue {
  readonly #heap: Entry[] = [];
  #orders = 0;

  /** Time of the next event in milliseconds; `Infinity` with none. */
  get next(): number {
    return this.#heap[0]?.time ?? Infinity;
  }

  /** Adds an event. */
  add(time: number, run: () => void): void {
    const heap = this.#heap;
    const entry = { time, order: this.#orders++, run };
    let at = heap.length;
    while (at > 0) {
      const parent = (at - 1) >> 1;
      if (!before(entry, heap[parent]!)) break;
      heap[at] = heap[parent]!;
      at = parent;
    }
    heap[at] = entry;
  }

  /** Takes the next event out; undefined with none. */
  take(): { readonly time: number; readonly run: () => void } | undefined {
    const heap = this.#heap;
    const first = heap[0];
    const last = heap.pop();
    if (first === undefined || last === undefined || heap.length === 0) return first;
    let at = 0;
    for (;;) {
      let child = 2 * at + 1;
      if (child >= heap.length) break;
      if (child + 1 < heap.length && before(heap[child + 1]!, heap[child]!)) child++;
      if (!before(heap[child]!, last)) break;
      heap[at] = heap[child]!;
      at = child;
    }
    heap[at] = last;
    return first;
  }
}

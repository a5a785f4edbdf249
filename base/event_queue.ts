interface Entry<T> {
  readonly time: number;
  readonly order: number;
  readonly what: T;
}

function before<T>(a: Entry<T>, b: Entry<T>): boolean {
  return a.time < b.time || (a.time === b.time && a.order < b.order);
}

/**
 * Things at times, the earliest first and of equals the one added first: a binary heap.
 *
 * @example
 * ```ts
 * import { EventQueue } from "./event_queue.ts";
 * const queue = new EventQueue<string>();
 * queue.add(20, "later");
 * queue.add(10, "soon");
 * if (queue.next !== 10 || queue.take()?.what !== "soon") throw new Error("not the earliest");
 * ```
 */
export class EventQueue<T> {
  readonly #heap: Entry<T>[] = [];
  #orders = 0;

  /** How many there are. */
  get size(): number {
    return this.#heap.length;
  }

  /** Time of the next; `Infinity` with none. */
  get next(): number {
    return this.#heap[0]?.time ?? Infinity;
  }

  /** Adds one. */
  add(time: number, what: T): void {
    const heap = this.#heap;
    const entry = { time, order: this.#orders++, what };
    let at = heap.length;
    while (at > 0) {
      const parent = (at - 1) >> 1;
      if (!before(entry, heap[parent]!)) break;
      heap[at] = heap[parent]!;
      at = parent;
    }
    heap[at] = entry;
  }

  /** Takes the next one out; undefined with none. */
  take(): { readonly time: number; readonly what: T } | undefined {
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

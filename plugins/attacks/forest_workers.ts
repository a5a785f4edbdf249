import { moduleBeside } from "../../base/mod.ts";
import { assemble, type ForestOptions, growOptions, RandomForest } from "./forest.ts";
import { binnedRows, fillTable, type TableMemory, tableMemory } from "./forest_table.ts";
import type { GrowOptions } from "./forest_grow.ts";
import { growTrees, type SomeTrees } from "./forest_trees.ts";
import type { Rows } from "./scaler.ts";

/** What a worker is asked for. */
type Call =
  | {
    readonly kind: "bin";
    readonly memory: TableMemory;
    readonly from: number;
    readonly to: number;
  }
  | { readonly kind: "grow"; readonly options: GrowOptions; readonly trees: number };

/** How many trees have been handed out, shared by the workers. */
type Counter = Int32Array;

/** Below this number of rows times trees, starting workers takes longer than growing. */
const SMALL = 100_000;

/** How the work is shared. */
export interface WorkerOptions {
  /** Threads that grow; as many as the machine has processors unless told. 1 grows in this thread. */
  readonly workers?: number;
  /** Called as trees are done: how many of how many. */
  readonly onProgress?: (done: number, total: number) => void;
}

/**
 * Grows the forest that {@linkcode RandomForest.grow} grows, bit by bit, on several processors: each
 * worker bins some of the columns, then takes the next tree as long as there is one.
 *
 * @example
 * ```ts
 * import { RandomForest } from "./forest.ts";
 * import { growForest } from "./forest_workers.ts";
 * const rows = { count: 4, width: 1, values: Float64Array.of(1, 2, 8, 9) };
 * const labels = Uint16Array.of(0, 0, 1, 1);
 * const options = { trees: 20, seed: 1 };
 * const forest = await growForest(rows, labels, 2, options, { workers: 2 });
 * const alone = RandomForest.grow(rows, labels, 2, options);
 * if (forest.outOfBagAccuracy !== alone.outOfBagAccuracy) throw new Error("not the same");
 * ```
 */
export async function growForest(
  rows: Rows,
  labels: Uint16Array,
  classes: number,
  options: ForestOptions,
  how: WorkerOptions = {},
): Promise<RandomForest> {
  const wanted = how.workers ??
    (rows.count * options.trees < SMALL ? 1 : navigator.hardwareConcurrency);
  const workers = Math.max(1, Math.min(wanted, options.trees));
  if (workers === 1) return RandomForest.grow(rows, labels, classes, options);
  const memory = tableMemory(rows, labels, classes, true);
  const counter: Counter = new Int32Array(new SharedArrayBuffer(4));
  const crew = Array.from({ length: workers }, (_, i) => new Hand(`forest ${i}`));
  try {
    const cut = (i: number) => Math.floor(i * rows.width / workers);
    const edges = await Promise.all(
      crew.map((hand, i) =>
        hand.ask<Float64Array[]>({ kind: "bin", memory, from: cut(i), to: cut(i + 1) }, counter)
      ),
    );
    const grow: Call = {
      kind: "grow",
      options: growOptions(rows, labels, classes, options),
      trees: options.trees,
    };
    const timer = how.onProgress === undefined ? undefined : setInterval(() => {
      how.onProgress!(Math.min(options.trees, Atomics.load(counter, 0)), options.trees);
    }, 200);
    try {
      const grown = await Promise.all(crew.map((hand) => hand.ask<SomeTrees>(grow, counter)));
      return assemble(rows.width, classes, labels, edges.flat(), grown);
    } finally {
      clearInterval(timer);
    }
  } finally {
    for (const hand of crew) hand.dismiss();
  }
}

/** One worker, asked one thing at a time. */
class Hand {
  readonly #worker: Worker;
  #waiting: PromiseWithResolvers<unknown> | undefined;

  constructor(name: string) {
    this.#worker = new Worker(moduleBeside("./forest_worker", import.meta.url), {
      type: "module",
      name,
    });
    this.#worker.onmessage = (event: MessageEvent<unknown>) => this.#waiting?.resolve(event.data);
    this.#worker.onerror = (event) => {
      event.preventDefault();
      this.#waiting?.reject(new Error(`a worker of the forest failed: ${event.message}`));
    };
  }

  async ask<T>(call: Call, counter: Counter): Promise<T> {
    this.#waiting = Promise.withResolvers();
    this.#worker.postMessage({ call, counter });
    return await this.#waiting.promise as T;
  }

  dismiss(): void {
    this.#worker.terminate();
  }
}

/** The part of a worker's global scope that is used here. */
interface WorkerScope {
  onmessage: (event: MessageEvent<{ call: Call; counter: Counter }>) => void;
  postMessage(answer: unknown, transfer: Transferable[]): void;
}

/** Does a worker's part of {@linkcode growForest}; called by the worker's module. */
export function serveForest(): void {
  const scope = self as unknown as WorkerScope;
  let table: TableMemory | undefined;
  scope.onmessage = ({ data: { call, counter } }) => {
    if (call.kind === "bin") {
      table = call.memory;
      scope.postMessage(fillTable(table, call.from, call.to), []);
      return;
    }
    if (table === undefined) throw new Error("nothing was binned");
    const next = () => {
      const index = Atomics.add(counter, 0, 1);
      return index < call.trees ? index : undefined;
    };
    const grown = growTrees(binnedRows(table), call.options, next);
    const arrays = grown.trees.flatMap(({ column, split, shares, gain }) => [
      column.buffer,
      split.buffer,
      shares.buffer,
      gain.buffer,
    ]);
    scope.postMessage(grown, [...arrays, grown.votes.buffer] as ArrayBuffer[]);
  };
}

import { type BinnedRows, type GrowOptions, type Tree, TreeGrower } from "./forest_grow.ts";
import { addVotes, layOut } from "./forest_nodes.ts";

/** Some trees of a forest, and what they say of the rows that they did not see. */
export interface SomeTrees {
  /** Number of each tree in the forest. */
  readonly indices: readonly number[];
  /** The trees. */
  readonly trees: readonly Tree[];
  /** Row-major `count x classes`: votes of the trees that did not see the row. Whole numbers. */
  readonly votes: Float64Array;
}

/** Grows the trees whose numbers `next` hands out, until it hands out none. */
export function growTrees(
  data: BinnedRows,
  options: GrowOptions,
  next: () => number | undefined,
): SomeTrees {
  const { count, classes, rowBins, stride } = data;
  const grower = new TreeGrower(data, options);
  const indices: number[] = [];
  const trees: Tree[] = [];
  const votes = new Float64Array(count * classes);
  const unseen = new Int32Array(count);
  for (let index = next(); index !== undefined; index = next()) {
    const tree = grower.grow(index);
    indices.push(index);
    trees.push(tree);
    let size = 0;
    for (let row = 0; row < count; row++) if (grower.drawn[row] === 0) unseen[size++] = row;
    addVotes(layOut([tree], classes), 0, rowBins, stride, unseen, size, classes, votes);
  }
  return { indices, trees, votes };
}

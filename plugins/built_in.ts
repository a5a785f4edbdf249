import type { AttackTable } from "./host/mod.ts";

/** Our own attacks, by name. */
export const BUILT_IN_ATTACKS: AttackTable = {
  "first-messages": () => import("./attacks/first_messages.ts"),
  "gradient-boosting": () => import("./attacks/gradient_boosting.ts"),
  "kmeans": () => import("./attacks/kmeans.ts"),
  "knn": () => import("./attacks/knn.ts"),
  "random-forest": () => import("./attacks/random_forest.ts"),
};

import type { AttackPlugin } from "../attack.ts";
import { boostedAttack } from "./boosted_attack.ts";
import { messageColumnNames, messageRows } from "./message_features.ts";

/**
 * Gradient-boosted trees over the features and over sizes and times of messages: what the random forest looks at,
 * learned one mistake after the other.
 */
const gradientBoosting: AttackPlugin = boostedAttack({
  name: "gradient-boosting",
  parameters: {},
  rows: (samples, { clock }) => messageRows(samples, clock),
  columns: (samples) => [...samples.featureNames, ...messageColumnNames()],
});

export default gradientBoosting;

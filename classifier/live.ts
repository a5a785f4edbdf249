import { featureSet, type FlowRecord } from "../capture/mod.ts";
import { type ClassifierModel, judge } from "./model.ts";

/** What an application is called that the model is not sure of. */
export const UNKNOWN = "unknown";

/** A flow's name, and how sure the model is. */
export interface NamedFlow {
  /** The application, or `unknown`. */
  readonly application: string;
  /** The likeliest application even where it is unknown; empty for one that is ambiguous. */
  readonly likeliest: string;
  /** The share of the likeliest class, 0 to 1; 0 for a flow with too few packets. */
  readonly confidence: number;
}

/**
 * Names flows one at a time, as bursts end. Holds nothing of a flow after it has named it.
 *
 * @param threshold Flows whose likeliest application has a smaller share are unknown.
 */
export function flowNamer(
  model: ClassifierModel,
  threshold: number,
): (flow: FlowRecord) => NamedFlow {
  const set = featureSet(model.features);
  const values = new Float64Array(set.columns.length);
  const rows = { count: 1, width: values.length, values };
  return (flow) => {
    if (flow.packetsSent + flow.packetsReceived < model.settings.minPackets) {
      return { application: UNKNOWN, likeliest: "", confidence: 0 };
    }
    set.fill(flow, values);
    const { labels, confidence } = judge(model, rows);
    const likeliest = labels[0]! < 0 ? "" : model.labels[labels[0]!]!;
    const sure = confidence[0]!;
    const named = likeliest !== "" && sure >= threshold;
    return { application: named ? likeliest : UNKNOWN, likeliest, confidence: sure };
  };
}

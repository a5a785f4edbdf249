import { featureSet } from "../capture/mod.ts";
import type { TrainingNotes } from "../plugins/attack.ts";
import { ByteReader, ByteWriter, DamagedBytesError } from "../plugins/attacks/bytes.ts";
import { judgeByNeighbours, type NeighbourModel, trainNeighbours } from "../plugins/attacks/knn.ts";
import type { ClassifierKind, FlowClassifier } from "./kind.ts";

/** The nearest-neighbour attack, on flows. What is far from all it has seen has shares of 0. */
export const nearestNeighbours: ClassifierKind = {
  name: "knn",
  summary: "the nearest neighbours among all training flows, on logarithms of the features",
  train(data, { seed }) {
    const { model, notes } = trainNeighbours({
      count: data.rows.count,
      featureNames: featureSet(data.features).columns,
      features: data.rows.values,
      offsets: new Uint32Array(data.rows.count + 1),
      sizes: new Float64Array(0),
      times: new Float64Array(0),
      labelNames: data.labelNames,
      labels: data.labels,
      groupNames: data.groupNames,
      groups: data.groups,
    }, { seed, parameters: {} });
    return Promise.resolve(classifierOf(model, notes));
  },
  decode(bytes) {
    const reader = new ByteReader(bytes);
    const k = reader.u32();
    const t = reader.f64();
    const log = reader.u8() === 1;
    const columns = Array.from(reader.u16s(reader.u16()));
    const width = columns.length;
    const mean = reader.f64s(width);
    const deviation = reader.f64s(width);
    const radii = reader.f64s(reader.u16());
    const count = reader.u32();
    const labels = reader.u16s(count);
    const values = reader.f64s(count * width);
    const wrong = labels.some((label) => label >= radii.length);
    if (k === 0 || count === 0 || reader.left > 0 || wrong) {
      throw new DamagedBytesError("neighbours that do not fit together", reader.offset);
    }
    return classifierOf({
      reference: { rows: { count, width, values }, labels },
      scaler: { columns, mean, deviation },
      radii,
      k,
      t,
      log,
    }, {});
  },
};

function classifierOf(model: NeighbourModel, notes: TrainingNotes): FlowClassifier {
  const { reference, scaler, radii, k, t, log } = model;
  return {
    notes: {
      k,
      t,
      ...Object.fromEntries(
        Object.entries(notes).map(([name, value]) => [
          name,
          typeof value === "object" ? value.join(", ") : value,
        ]),
      ),
    },
    shares(rows) {
      const shares = new Float64Array(rows.count * radii.length);
      judgeByNeighbours(model, rows, shares);
      return shares;
    },
    encode() {
      const writer = new ByteWriter();
      writer.u32(k);
      writer.f64(t);
      writer.u8(log ? 1 : 0);
      writer.u16(scaler.columns.length);
      writer.u16s(scaler.columns);
      writer.f64s(scaler.mean);
      writer.f64s(scaler.deviation);
      writer.u16(radii.length);
      writer.f64s(radii);
      writer.u32(reference.rows.count);
      writer.u16s(reference.labels);
      writer.f64s(reference.rows.values);
      return writer.done();
    },
  };
}

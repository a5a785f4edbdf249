/** A cell of a table: text, or text with a smaller line under it and a mark. */
export type Cell = string | {
  /** What it says. */
  readonly text: string;
  /** Smaller lines under it: an interval, a number of cases. */
  readonly note?: string;
  /** Whether it is good news, bad news or neither. */
  readonly mark?: "good" | "bad";
};

/** A table of results. */
export interface EvaluationTable {
  /** What it shows. */
  readonly title: string;
  /** Heads of the columns; the first names the rows. */
  readonly head: readonly string[];
  /** Rows, as wide as the head. */
  readonly rows: readonly (readonly Cell[])[];
  /** What a reader must know to read it. */
  readonly note?: string;
}

/** Points of one line. */
export interface LineSeries {
  /** What the legend calls it. */
  readonly name: string;
  /** Points, in order of x; NaNs are left out. */
  readonly points: readonly (readonly [number, number])[];
  /** Real traffic is drawn as such, cover in the colours of cover. */
  readonly real?: boolean;
  /** A curve that rises in steps, such as a distribution. */
  readonly steps?: boolean;
}

/** A chart. */
export type EvaluationFigure =
  | {
    /** Lines over a number. */
    readonly kind: "lines";
    /** What it shows. */
    readonly title: string;
    /** Title and unit of the axis along. */
    readonly x: string;
    /** Title and unit of the axis up. */
    readonly y: string;
    /** Whether the axis along is logarithmic: what is not above 0 is drawn at its left end. */
    readonly log?: boolean;
    /** Least and greatest value up; by the data unless told. */
    readonly range?: readonly [number, number];
    /** A value of x to mark, with a word. */
    readonly marked?: { readonly at: number; readonly word: string };
    /** The lines: at most one real and three others are told apart well. */
    readonly series: readonly LineSeries[];
    /** `small` ones stand side by side. */
    readonly size?: "small";
    /** Heading over a row of small ones; those with the same stand in one row. */
    readonly row?: string;
  }
  | {
    /** Bars by name and kind. */
    readonly kind: "bars";
    /** What it shows. */
    readonly title: string;
    /** Title and unit of the values. */
    readonly x: string;
    /** Whether the scale is logarithmic. */
    readonly log?: boolean;
    /** One bar each. */
    readonly bars: readonly {
      readonly name: string;
      readonly group: string;
      readonly value: number;
    }[];
  }
  | {
    /** Values with intervals, by name and kind, beside a floor. */
    readonly kind: "intervals";
    /** What it shows. */
    readonly title: string;
    /** Title of the values. */
    readonly x: string;
    /** Least and greatest value drawn. */
    readonly range: readonly [number, number];
    /** What the floor is; real traffic against real traffic unless told. */
    readonly floor?: string;
    /** One row each. */
    readonly rows: readonly {
      readonly name: string;
      readonly value: number;
      readonly low: number;
      readonly high: number;
      /** Drawn as a ring: what real traffic scores. */
      readonly floor?: number;
    }[];
  };

/** One part of an evaluation. */
export interface EvaluationSection {
  /** Heading. */
  readonly title: string;
  /** What was done, in sentences; each a paragraph. */
  readonly text: readonly string[];
  /** The verdicts in short: what was asked, what the seed had, what there is here. */
  readonly facts?: readonly {
    readonly text: string;
    readonly good?: boolean;
  }[];
  /** Tables, in order. */
  readonly tables: readonly EvaluationTable[];
  /** Charts, in order. */
  readonly figures: readonly EvaluationFigure[];
  /** Whether the charts come before the tables. */
  readonly figuresFirst?: boolean;
}

/** All that an evaluation showed. Plain data. */
export interface EvaluationResult {
  /** Heading of the report. */
  readonly title: string;
  /** When it was made, as ISO 8601. */
  readonly madeAt: string;
  /** The seed that repeats it. */
  readonly seed: string;
  /** Whether it is the smaller one. */
  readonly quick: boolean;
  /** Where a reader of another paper finds its figures: the title of a section, a table or a chart. */
  readonly guide?: readonly { readonly what: string; readonly heading: string }[];
  /** Its parts. */
  readonly sections: readonly EvaluationSection[];
  /** What was compared with what, the splits, the limits. */
  readonly method: readonly { readonly title: string; readonly text: string }[];
}

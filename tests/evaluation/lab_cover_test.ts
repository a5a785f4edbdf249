import assert from "node:assert/strict";
import { UsageError } from "../../base/mod.ts";
import { BadCover, recordCover } from "../../evaluation/lab_cover.ts";
import { inFolder } from "../support/folder.ts";

const usual = { runs: 2, connections: 1, seed: "s", bytes: 1, patience: 1, firstReal: 101 };

Deno.test("recorded cover: two models of one protocol are refused before anything is made", () =>
  inFolder(async (folder) => {
    const out = `${folder}/cover`;
    await assert.rejects(
      recordCover({ ...usual, out, models: ["https", "ssh", "https-structural"] }),
      (error) =>
        error instanceof UsageError && /https and https-structural both claim/.test(error.message),
    );
    await assert.rejects(Deno.stat(out), Deno.errors.NotFound);
  }));

Deno.test("recorded cover: another's PROVENANCE.json is refused in one line, and left as it is", () =>
  inFolder(async (out) => {
    const path = `${out}/PROVENANCE.json`;
    for (const text of ["", "{}", "{", '{"schema":1,"samples":[]}']) {
      await Deno.writeTextFile(path, text);
      await assert.rejects(
        recordCover({ ...usual, out, models: ["https"] }),
        (error) => error instanceof BadCover && /PROVENANCE\.json: not [^\n]+$/.test(error.message),
      );
      assert.equal(await Deno.readTextFile(path), text);
    }
  }));

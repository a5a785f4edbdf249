import { BUILT_IN_ATTACKS } from "./built_in.ts";
import { serveAttacks } from "./host/worker_side.ts";

serveAttacks(BUILT_IN_ATTACKS);

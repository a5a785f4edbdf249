import { serveForest } from "./forest_workers.ts";

serveForest();

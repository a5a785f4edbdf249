/**
 * Five applications in real browsers behind a gateway, recorded for the classifier. Apart from the rest of the
 * laboratory, for it needs a browser's driver and a player, which nobody else shall have to fetch.
 *
 * @module
 */
export { type Application, APPLICATIONS } from "./applications.ts";
export { type Media } from "./media.ts";
export * from "./record.ts";

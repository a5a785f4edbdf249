/**
 * A machine becomes the gateway of a network of clients: a static address, forwarding, NAT by nftables and DHCP
 * by dnsmasq; and becomes exactly what it was again. Everything is done by `ip`, `nft`, `sysctl` and `dnsmasq`,
 * and noted in a journal before it is done.
 *
 * @module
 */
export * from "./gateway.ts";
export { type Lease } from "./dnsmasq.ts";
export {
  GatewayNeeds,
  type Machine,
  type Outcome,
  type Program,
  SystemMachine,
} from "./machine.ts";
export * from "./settings.ts";
export { type CommandLine, commandOf, type Step, undoCommandOf } from "./steps.ts";

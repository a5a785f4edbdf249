/**
 * The engine that plays cover traffic, and the reliable tunnel that carries user data in it.
 *
 * @module
 */
export * from "./acceptor.ts";
export * from "./clock.ts";
export * from "./commands.ts";
export * from "./cover_connection.ts";
export { ConnectionPlayer, type PlayerOptions, type PlayReport } from "./connection_player.ts";
export type { Dialled, DialRequest } from "./dials.ts";
export { Engine, type EngineFrame, type EngineOptions, type Live, type Played } from "./engine.ts";
export {
  connectionNumber,
  ENGINE_ERROR,
  EngineFrameError,
  OWNER_FRAMES,
  type PlanForm,
  type Scheduling,
} from "./engine_frames.ts";
export { type DrawnPlan, drawPlan, MAX_ATTEMPTS } from "./first_message.ts";
export { type Destination, MAX_CONTROL_BODY } from "./frame.ts";
export * from "./kinds.ts";
export * from "./lateness.ts";
export * from "./lead.ts";
export * from "./opener.ts";
export * from "./openings.ts";
export * from "./plan_codec.ts";
export * from "./plans_sent.ts";
export * from "./policy.ts";
export * from "./refusals.ts";
export * from "./reliable_tunnel.ts";
export * from "./schedule.ts";
export * from "./script.ts";
export type { Farewell } from "./shared_ends.ts";
export * from "./size_grid.ts";
export * from "./spare_time.ts";
export * from "./stats.ts";
export type { TunnelStream } from "./stream.ts";
export * from "./tunnel.ts";
export * from "./tunnel_error.ts";
export { INITIAL_WINDOW, type StreamLimits } from "./tunnel_streams.ts";
export * from "./virtual_clock.ts";
export * from "./virtual_network.ts";
export { warmUp } from "./warm_up.ts";
export * from "./wire_log.ts";

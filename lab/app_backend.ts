/**
 * A small application behind nginx: answers each path with what the plan says, after the time that the
 * plan says. A program of its own, with no right but to listen on one address: the plan comes by
 * standard input.
 *
 * @module
 */

/** What the application answers on one path. */
export interface AppAnswer {
  /** Milliseconds before it answers. */
  readonly delay: number;
  /** Content type. */
  readonly type: string;
  /** The answer's body. */
  readonly body: string;
}

/** What standard input holds. */
export interface AppPlan {
  /** Address to listen on. */
  readonly hostname: string;
  /** Port to listen on. */
  readonly port: number;
  /** Answers by path and query. */
  readonly answers: Readonly<Record<string, AppAnswer>>;
}

if (import.meta.main) {
  const plan = await new Response(Deno.stdin.readable).json() as AppPlan;
  Deno.serve({ hostname: plan.hostname, port: plan.port }, async (request) => {
    const { pathname, search } = new URL(request.url);
    const answer = plan.answers[pathname + search];
    await request.arrayBuffer();
    if (answer === undefined) return new Response("not found", { status: 404 });
    await new Promise((resolve) => setTimeout(resolve, answer.delay));
    return new Response(answer.body, { headers: { "content-type": answer.type } });
  });
}

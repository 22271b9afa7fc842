/**
 * Flags of Node for the agent, which runs on every machine and has little to do: a small young generation, one helper
 * thread, and memory before speed.
 */
export const AGENT_FLAGS: readonly string[] = ["--max-semi-space-size=1", "--v8-pool-size=1", "--optimize-for-size"];

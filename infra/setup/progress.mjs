const PLAIN_EVERY_MS = 30_000;

/**
 * Tells on standard error how the steps stand: one line that is rewritten on a terminal, plain lines elsewhere.
 * Nothing is shown for steps that had nothing to do.
 */
export function createProgress(stream = process.stderr) {
  const started = Date.now();
  const steps = new Map();
  const seconds = (since) => Math.round((Date.now() - since) / 1000);

  const draw = () => {
    const parts = [...steps].map(([name, step]) => `${name}: ${step.done ?? step.doing}`);
    const line = `[${seconds(started)} s] ${parts.join("  ")}`;
    stream.write(`\r\x1b[K${line.slice(0, (stream.columns ?? 80) - 1)}`);
  };
  const tell = () => {
    for (const [name, step] of steps) {
      if (!step.done) stream.write(`set-up: ${name}: ${step.doing} (${seconds(step.since)} s)\n`);
    }
  };
  const timer = stream.isTTY ? setInterval(draw, 200) : setInterval(tell, PLAIN_EVERY_MS);
  timer.unref();

  return {
    begin(name, doing) {
      steps.set(name, { doing, since: Date.now() });
      if (!stream.isTTY) stream.write(`set-up: ${name}: ${doing}\n`);
    },
    update(name, doing) {
      const step = steps.get(name);
      if (step) step.doing = doing;
    },
    end(name, done) {
      const step = steps.get(name);
      if (!step) return;
      step.done = `${done} after ${seconds(step.since)} s`;
      if (!stream.isTTY) stream.write(`set-up: ${name}: ${step.done}\n`);
    },
    close() {
      clearInterval(timer);
      if (stream.isTTY && steps.size > 0) {
        draw();
        stream.write("\n");
      }
    },
  };
}

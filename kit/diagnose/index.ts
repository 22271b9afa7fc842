/** Checks of `cvlan doctor` that need nothing but this host: daemons run them, and the CLI where no daemon does. */
export { codeOf, fail, ok, skipped, warn } from "./check.ts";
export { checkController } from "./controller.ts";
export { checkDisk, checkState, checkTimeSync, checkTun } from "./host.ts";

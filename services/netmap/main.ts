import { run } from "@cloudvlan/kit/service";
import { netmap } from "./service.ts";

await run([netmap]);

import { run } from "@cloudvlan/kit/service";
import { policy } from "./service.ts";

await run([policy]);

import { run } from "@cloudvlan/kit/service";
import { services } from "./compose.ts";

await run(services);

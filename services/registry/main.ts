import { run } from "@cloudvlan/kit/service";
import { registry } from "./service.ts";

await run([registry]);

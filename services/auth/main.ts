import { run } from "@cloudvlan/kit/service";
import { auth } from "./service.ts";

await run([auth]);

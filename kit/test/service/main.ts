import { run } from "../../service/index.ts";
import { testAuth } from "./services.ts";

await run([testAuth().definition]);

import { Client, refusalOf } from "policyd-client";

const client = new Client("127.0.0.1:8181");
const outcome = await client
  .check({
    token: process.env.TOKEN ?? "",
    api: "health",
    action: "read",
    resource: { type: "patient", id: "p1", properties: { sealed: false } },
  })
  .catch((error: unknown) => error);
client.close();

const refused = refusalOf(outcome);
console.log(refused ? `${refused.status} ${JSON.stringify(refused.headers)}` : "allowed");

// What @gradio/client sees of the endpoint given as argument; prints one JSON object.
import { Client } from "@gradio/client";

const endpoint = "/text_to_image";
const app = await Client.connect(process.argv[2], { events: ["data", "status"] });

async function refusal(values) {
  try {
    await app.predict(endpoint, values);
    return "no refusal";
  } catch (error) {
    return JSON.stringify(error.message ?? error);
  }
}

async function cancelled() {
  const states = [];
  const job = app.submit(endpoint, { prompt: "a boat", steps: 149 });
  for await (const event of job) {
    if (event.type !== "data") continue;
    states.push(event.data[1].state);
    if (states.at(-1) === "progress") {
      await job.cancel();
      break;
    }
  }
  return states.at(-1);
}

const info = await app.view_api();
const wanted = { prompt: "a boat", steps: 2, seed: 7, count: 2, sampler: "Euler a", schedule: "karras" };
const made = await app.predict(endpoint, wanted);
const [files, record] = made.data;
const picture = await fetch(files[0].url);
const report = {
  endpoints: Object.keys(info.named_endpoints),
  pictures: record.pictures,
  state: record.state,
  type: picture.headers.get("content-type"),
  bytes: (await picture.arrayBuffer()).byteLength,
  refusal: await refusal({ prompt: "a boat", steps: 0 }),
  unknown: await refusal({ prompt: "a boat", stepz: 3 }),
  cancelled: await cancelled(),
};
console.log(JSON.stringify(report));
process.exit(0);

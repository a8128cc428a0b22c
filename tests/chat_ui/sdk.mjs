// Talks to a LangGraph server as chat UIs do, through the published JavaScript SDK.
//
//   node sdk.mjs URL ASSISTANT PROTOCOL STEPS
//
// STEPS is JSON: each step is {"input": …} or {"resume": …}. PROTOCOL is "runs" (agent-chat-ui) or "threads"
// (`useStream` of @langchain/react). Prints a JSON line for each step.
import { Client } from "@langchain/langgraph-sdk";

const [url, assistantId, protocol, steps] = process.argv.slice(2);
const client = new Client({ apiUrl: url });

/** Streams a run; gives the text of the streamed AI messages, the last values, and the open interrupts. */
async function throughRuns(threadId, { input, resume }) {
  const run = resume === undefined ? { input } : { command: { resume } };
  const streamed = {};
  let values;
  for await (const { event, data } of client.runs.stream(threadId, assistantId, {
    ...run,
    streamMode: ["values", "messages-tuple", "custom"],
  })) {
    if (event === "error") throw new Error(JSON.stringify(data));
    if (event === "values") values = data;
    if (event === "messages" && data[0].type === "AIMessageChunk") (streamed[data[0].id] ??= []).push(data[0].content);
  }
  const { tasks } = await client.threads.getState(threadId);
  return told(Object.values(streamed), values, tasks.flatMap((task) => task.interrupts));
}

/** Does the same through a thread's stream. */
async function throughThread(thread, { input, resume }) {
  const streamed = {};
  let values;
  const ended = new Promise((resolve, reject) => {
    const off = thread.onEvent(({ method, params: { namespace, data } }) => {
      if (namespace.length) return;
      if (method === "values") values = data;
      if (method === "messages" && data.event === "message-start") streamed[data.id] = [];
      if (method === "messages" && data.delta?.type === "text-delta") Object.values(streamed).at(-1).push(data.delta.text);
      if (method !== "lifecycle" || !["completed", "interrupted", "failed"].includes(data.event)) return;
      off();
      data.event === "failed" ? reject(new Error(JSON.stringify(data))) : resolve();
    });
  });
  if (resume === undefined) await thread.run.start({ input });
  else {
    const { interruptId, namespace } = thread.interrupts[0];
    for (let left = 20; ; left -= 1) {
      try {
        await thread.input.respond({ interrupt_id: interruptId, namespace, response: resume });
        break;
      } catch (error) { // the event can come before the server has the checkpoint
        if (error.code !== "no_such_interrupt" || !left) throw error;
        await new Promise((next) => setTimeout(next, 250));
      }
    }
  }
  await ended;
  const interrupts = thread.interrupts.map(({ interruptId, payload }) => ({ id: interruptId, value: payload }));
  return told(Object.values(streamed), values, interrupts);
}

function told(streamed, values, interrupts) {
  const messages = values.messages.map(({ type, content, tool_calls, status }) => ({ type, content, tool_calls, status }));
  return { streamed: streamed.map((pieces) => pieces.filter(Boolean)), messages, interrupts };
}

const thread = protocol === "runs" ? (await client.threads.create()).thread_id : client.threads.stream({ assistantId });
if (protocol === "threads") await thread.subscribe({ channels: ["messages"] });
for (const step of JSON.parse(steps)) {
  console.log(JSON.stringify(await (protocol === "runs" ? throughRuns : throughThread)(thread, step)));
}
process.exit();

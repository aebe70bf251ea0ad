// Tools as OpenAI's client for Node sees them; run by test_node_client.py with the server's address and key.
import assert from "node:assert/strict";
import OpenAI from "openai";

const [baseURL, apiKey] = process.argv.slice(2);
const client = new OpenAI({ baseURL, apiKey, maxRetries: 0, timeout: 60_000 });

const tools = [
  {
    type: "function",
    function: {
      name: "get_dose",
      parameters: {
        type: "object",
        properties: {
          drug: { enum: ["metoprolol", "aspirin"] },
          days: { type: "integer", minimum: 1, maximum: 30 },
        },
        required: ["drug", "days"],
        additionalProperties: false,
      },
    },
  },
];
const tool_choice = { type: "function", function: { name: "get_dose" } };
const question = { role: "user", content: "What is the dose of metoprolol?" };
const asked = { model: "auto", temperature: 0, max_tokens: 120, messages: [question], tools, tool_choice };

function checkCall(call) {
  assert.equal(call.type, "function");
  assert.match(call.id, /^call_/);
  assert.equal(call.function.name, "get_dose");
  const { drug, days, ...others } = JSON.parse(call.function.arguments);
  assert.ok(["metoprolol", "aspirin"].includes(drug));
  assert.ok(Number.isInteger(days) && days >= 1 && days <= 30);
  assert.deepEqual(others, {});
}

async function whole() {
  const { choices } = await client.chat.completions.create(asked);
  assert.equal(choices[0].finish_reason, "tool_calls");
  assert.equal(choices[0].message.content, null);
  assert.equal(choices[0].message.tool_calls.length, 1);
  checkCall(choices[0].message.tool_calls[0]);
  return choices[0].message;
}

async function streamed(expected) {
  const stream = client.chat.completions.stream(asked);
  const pieces = [];
  stream.on("tool_calls.function.arguments.delta", (event) => pieces.push(event.arguments_delta));
  const message = await stream.finalMessage();
  checkCall(message.tool_calls[0]);
  const { arguments: written } = expected.tool_calls[0].function;
  assert.equal(message.tool_calls[0].function.arguments, written);
  assert.equal(pieces.join(""), written);
  assert.ok(pieces.length > 1);
  const { choices } = await stream.finalChatCompletion();
  assert.equal(choices[0].finish_reason, "tool_calls");
  return message;
}

async function continued(message) {
  const results = message.tool_calls.map(({ id }) => ({ role: "tool", tool_call_id: id, content: "25 mg" }));
  const messages = [question, message, ...results];
  const answer = await client.chat.completions.create({ ...asked, messages, tool_choice: "none" });
  assert.ok(answer.choices[0].message.content);
  assert.equal(answer.choices[0].message.tool_calls, undefined);
}

async function ran() {
  const called = [];
  const runner = client.chat.completions.runTools({
    ...asked,
    tool_choice: "auto",
    tools: [
      {
        type: "function",
        function: { ...tools[0].function, parse: JSON.parse, function: (given) => (called.push(given), "25 mg") },
      },
    ],
  }, { maxChatCompletions: 3 });
  await runner.done();
  for (const given of called) assert.ok(Number.isInteger(given.days));
}

async function refused() {
  const request = client.chat.completions.create({ ...asked, tool_choice: "any" });
  await assert.rejects(request, (error) => error.status === 400 && error.param === "tool_choice");
}

const first = await whole();
await continued(first);
await continued(await streamed(first));
await ran();
await refused();
console.log("ok");

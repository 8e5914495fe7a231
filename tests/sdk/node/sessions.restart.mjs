// Responses with state, with the official Node SDK; the server is killed and
// started again in the middle of each.
import assert from "node:assert/strict";
import { test } from "node:test";
import OpenAI from "openai";

const { SDK_KEY, SDK_RESTART } = process.env;
let root = process.env.SDK_URL;
const sdk = () => new OpenAI({ baseURL: `${root}/v1`, apiKey: SDK_KEY, maxRetries: 0 });

async function restart() {
  root = await (await fetch(SDK_RESTART, { method: "POST" })).text();
}

async function all(stream) {
  const events = [];
  for await (const event of stream) events.push(event);
  return events;
}

test("a response goes on from another", async () => {
  const first = await sdk().responses.create({ model: "up-chat/node-chain", input: "1" });
  assert.equal(first.output_text, "one");
  await restart();
  const second = await sdk().responses.create({ model: "up-chat/node-chain", input: "2", previous_response_id: first.id });
  assert.equal(second.output_text, "two");
  assert.equal((await sdk().responses.retrieve(first.id)).output_text, "one");
});

test("a background stream is taken up where it was cut", async () => {
  const stream = await sdk().responses.create({ model: "up-chat/node-cut", input: "x", stream: true, background: true });
  const seen = [];
  for await (const event of stream) {
    seen.push(event);
    if (event.type === "response.output_text.delta") break;
  }
  await restart();
  const last = seen.at(-1).sequence_number;
  const rest = await all(await sdk().responses.retrieve(seen[0].response.id, { stream: true, starting_after: last }));
  const whole = [...seen, ...rest];
  assert.deepEqual(whole.map((event) => event.sequence_number), [...whole.keys()]);
  assert.equal(whole.at(-1).response.output.at(-1).content[0].text, "a b c d e f g h");
});

test("a tool waits for its result", async () => {
  const tools = [{ type: "function", name: "temperature", parameters: { type: "object", properties: {} }, strict: false }];
  const first = await sdk().responses.create({ model: "up-chat/node-tool", input: "How warm?", tools });
  const call = first.output.find((item) => item.type === "function_call");
  await restart();
  const output = { type: "function_call_output", call_id: call.call_id, output: "18" };
  const second = await sdk().responses.create({
    model: "up-chat/node-tool", input: [output], tools, previous_response_id: first.id,
  });
  assert.equal(second.output_text, "18 degrees.");
});

test("a conversation gathers what is said", async () => {
  const conversation = await sdk().conversations.create({ metadata: { a: "b" } });
  await sdk().responses.create({ model: "up-chat/node-talk", input: "1", conversation: conversation.id });
  await restart();
  await sdk().responses.create({ model: "up-chat/node-talk", input: "2", conversation: conversation.id });
  const texts = [];
  for await (const item of sdk().conversations.items.list(conversation.id, { order: "asc", limit: 3 })) {
    texts.push(item.content[0].text);
  }
  assert.deepEqual(texts, ["1", "hello", "2", "again"]);
});

test("a cancelled response stays cancelled", async () => {
  const response = await sdk().responses.create({ model: "up-chat/node-stop", input: "x", background: true });
  assert.equal((await sdk().responses.cancel(response.id)).status, "cancelled");
  await restart();
  assert.equal((await sdk().responses.retrieve(response.id)).status, "cancelled");
});

// A real MCP server, its tools asked about, over a restart between each two requests.
const rooms = () => [{ type: "mcp", server_label: "rooms", server_url: process.env.SDK_MCP }];
const kinds = (response) => response.output.map((item) => item.type);

test("a call of an MCP server is approved, made once and kept", async () => {
  const first = await sdk().responses.create({ model: "up-chat/node-mcp", input: "Book red.", tools: rooms() });
  assert.deepEqual(kinds(first), ["mcp_list_tools", "mcp_approval_request"]);
  assert.deepEqual(first.output[0].tools.map((tool) => tool.name), ["look", "book", "slow"]);
  await restart();
  const yes = { type: "mcp_approval_response", approval_request_id: first.output[1].id, approve: true };
  const events = await all(await sdk().responses.create({
    model: "up-chat/node-mcp", input: [yes], tools: rooms(), previous_response_id: first.id, stream: true,
  }));
  const done = events.at(-1).response;
  assert.deepEqual(kinds(done), ["mcp_call", "message"]);
  assert.equal(done.output[0].output, "red is booked");
  assert.equal(done.output[0].approval_request_id, first.output[1].id);
  await restart();
  assert.deepEqual((await sdk().responses.retrieve(done.id)).output, done.output);
});

test("a denied call is not made", async () => {
  const first = await sdk().responses.create({ model: "up-chat/node-mcp-deny", input: "Book red.", tools: rooms() });
  const request = first.output.find((item) => item.type === "mcp_approval_request");
  await restart();
  const no = { type: "mcp_approval_response", approval_request_id: request.id, approve: false };
  const second = await sdk().responses.create({
    model: "up-chat/node-mcp-deny", input: [no], tools: rooms(), previous_response_id: first.id,
  });
  assert.deepEqual(kinds(second), ["message"]);
});

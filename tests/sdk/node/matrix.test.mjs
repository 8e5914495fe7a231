// Every client's dialect over every provider's, with the official Node SDKs.
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import Anthropic from "@anthropic-ai/sdk";
import OpenAI from "openai";

const { SDK_URL, SDK_KEY, SDK_UPSTREAM, SDK_TABLE } = process.env;
const table = JSON.parse(readFileSync(SDK_TABLE, "utf8"));

const openai = (baseURL, apiKey) => new OpenAI({ baseURL, apiKey, maxRetries: 0 });
const anthropic = (baseURL, apiKey) => new Anthropic({ baseURL, apiKey, maxRetries: 0 });

/** The SDK's answer, or all events of its stream, or what its own accumulator made of them. */
async function ask(root, key, dialect, model, request, stream) {
  const body = { model, stream, ...request };
  let made;
  if (dialect === "messages") made = await anthropic(root, key).messages.create(body);
  else if (dialect === "responses") made = await openai(`${root}/v1`, key).responses.create(body);
  else {
    if (stream) body.stream_options = { include_usage: true };
    made = await openai(`${root}/v1`, key).chat.completions.create(body);
  }
  if (!stream) {
    const plain = JSON.parse(JSON.stringify(made));
    delete plain._request_id;
    return plain;
  }
  const events = [];
  for await (const event of made) if (event.type !== "ping") events.push(event);
  return events;
}

/** The whole answer, by the accumulator that the SDK brings. */
async function accumulated(dialect, model, request) {
  const body = { model, ...request };
  if (dialect === "messages") return anthropic(SDK_URL, SDK_KEY).messages.stream(body).finalMessage();
  const client = openai(`${SDK_URL}/v1`, SDK_KEY);
  if (dialect === "responses") return client.responses.stream(body).finalResponse();
  return client.chat.completions.stream({ ...body, stream_options: { include_usage: true } }).finalChatCompletion();
}

const ends = {
  stop: "end", tool_calls: "call", length: "length", content_filter: "refusal",
  end_turn: "end", stop_sequence: "end", tool_use: "call", max_tokens: "length", refusal: "refusal",
};

function facts(dialect, answer) {
  const call = (name, given) => [name, typeof given === "string" ? JSON.parse(given || "{}") : given];
  if (dialect === "chat") {
    const [{ message, finish_reason }] = answer.choices;
    const usage = answer.usage && [answer.usage.prompt_tokens, answer.usage.prompt_tokens_details?.cached_tokens ?? 0, answer.usage.completion_tokens];
    const calls = (message.tool_calls ?? []).map((each) => call(each.function.name, each.function.arguments));
    return { text: message.content ?? "", calls, stop: ends[finish_reason], usage };
  }
  if (dialect === "responses") {
    const parts = answer.output.filter((item) => item.type === "message").flatMap((item) => item.content);
    const calls = answer.output.filter((item) => item.type === "function_call").map((each) => call(each.name, each.arguments));
    const { usage: u } = answer;
    return {
      text: parts.map((part) => part.text ?? "").join(""),
      calls,
      stop: answer.status === "incomplete" ? "length" : calls.length ? "call" : "end",
      usage: u && [u.input_tokens, u.input_tokens_details?.cached_tokens ?? 0, u.output_tokens],
    };
  }
  const cached = answer.usage.cache_read_input_tokens ?? 0;
  return {
    text: answer.content.map((block) => (block.type === "text" ? block.text : "")).join(""),
    calls: answer.content.filter((block) => block.type === "tool_use").map((each) => call(each.name, each.input)),
    stop: ends[answer.stop_reason],
    usage: [answer.usage.input_tokens + cached + (answer.usage.cache_creation_input_tokens ?? 0), cached, answer.usage.output_tokens],
  };
}

for (const client of ["chat", "responses", "messages"]) {
  for (const { spoken, case: kind, stream, name, facts: told } of table.cases) {
    test(`${client} over ${name}`, async () => {
      const request = table.requests[client][kind];
      const model = `up-${spoken}/${name}`;
      const answer = await ask(SDK_URL, SDK_KEY, client, model, request, stream);
      if (client === spoken) {
        const direct = await ask(SDK_UPSTREAM.replace(/\/v1$/, ""), "none", client, name, request, stream);
        assert.deepEqual(answer, direct);
      }
      const found = facts(client, stream ? await accumulated(client, model, request) : answer);
      assert.equal(found.text, told.text);
      assert.deepEqual(found.calls, told.calls.map(([tool, given]) => [tool, JSON.parse(given)]));
      assert.equal(found.stop, told.stop);
      if (told.usage) assert.deepEqual(found.usage, told.usage);
    });
  }
}

for (const [what, key, model, status] of [
  ["a wrong key", "sk-of-nobody", "up-chat/chat-text-plain", 401],
  ["an unknown model", SDK_KEY, "no-such-model", 404],
]) {
  for (const client of ["chat", "responses", "messages"]) {
    test(`${client}: ${what} is ${status}`, async () => {
      const kind = client === "messages" ? Anthropic : OpenAI;
      await assert.rejects(ask(SDK_URL, key, client, model, table.requests[client].text, false), (error) => {
        assert.ok(error instanceof kind.APIError, error);
        assert.equal(error.status, status);
        return true;
      });
    });
  }
}

test("the local model streams in every dialect", async () => {
  const said = "Say hello.";
  const asked = {
    chat: { messages: [{ role: "user", content: said }], max_tokens: 6 },
    responses: { input: said, max_output_tokens: 6 },
    messages: { messages: [{ role: "user", content: said }], max_tokens: 6 },
  };
  for (const [client, request] of Object.entries(asked)) {
    const found = facts(client, await accumulated(client, "local", request));
    assert.ok(found.text.trim(), client);
    assert.ok(found.usage[2] <= 6 && found.usage[2] > 0, client);
  }
});

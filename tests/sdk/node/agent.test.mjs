// Vercel's AI SDK runs an agent that uses a tool, over providers of other dialects.
import assert from "node:assert/strict";
import { test } from "node:test";
import { createAnthropic } from "@ai-sdk/anthropic";
import { createOpenAI } from "@ai-sdk/openai";
import { createOpenAICompatible } from "@ai-sdk/openai-compatible";
import { generateText, stepCountIs, tool } from "ai";
import { z } from "zod";

const { SDK_URL, SDK_KEY } = process.env;
const settings = { baseURL: `${SDK_URL}/v1`, apiKey: SDK_KEY };

for (const [what, model] of [
  ["chat over messages", createOpenAICompatible({ name: "freehold", ...settings })("up-messages/vercel-messages-1")],
  ["responses over messages", createOpenAI(settings).responses("up-messages/vercel-messages-2")],
  ["responses over chat", createOpenAI(settings).responses("up-chat/vercel-chat-1")],
  ["messages over chat", createAnthropic(settings)("up-chat/vercel-chat-2")],
]) {
  test(`an agent uses a tool, ${what}`, async () => {
    const asked = [];
    const temperature = tool({
      description: "Tells the temperature in a city",
      inputSchema: z.object({ city: z.string() }),
      execute: async ({ city }) => {
        asked.push(city);
        return `18 degrees in ${city}`;
      },
    });
    const done = await generateText({
      model,
      prompt: "How warm is Paris?",
      tools: { temperature },
      stopWhen: stepCountIs(3),
      maxRetries: 0,
    });
    assert.deepEqual(asked, ["Paris"]);
    assert.equal(done.text, "It is 18 degrees in Paris.");
    assert.equal(done.steps.length, 2);
    assert.equal(done.totalUsage.outputTokens, 18);
  });
}

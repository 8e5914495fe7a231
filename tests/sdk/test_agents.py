"""Agent frameworks: each runs one agent that uses a tool, over a provider of
another dialect. The script is two turns: the call, then the final answer."""

from __future__ import annotations

import asyncio
import json

import pytest

import cases
from server import ADMIN
from upstream import answer

FINAL = "It is 18 degrees in Paris."


def _turns(dialect: str) -> list[dict]:
    arguments = {"city": "Paris"}
    if dialect == "chat":
        usage = {"prompt_tokens": 30, "completion_tokens": 9, "total_tokens": 39}
        head = {"id": "c", "object": "chat.completion", "created": 1, "model": "m", "usage": usage}
        call = {"id": "call_1", "type": "function", "function": {"name": "temperature", "arguments": json.dumps(arguments)}}
        return [
            head | {"choices": [{"index": 0, "finish_reason": "tool_calls",
                                 "message": {"role": "assistant", "content": None, "tool_calls": [call]}}]},
            head | {"choices": [{"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": FINAL}}]},
        ]  # fmt: skip
    usage = {"input_tokens": 30, "output_tokens": 9}
    head = {"id": "msg_1", "type": "message", "role": "assistant", "model": "m", "stop_sequence": None, "usage": usage}
    call = {"type": "tool_use", "id": "toolu_1", "name": "temperature", "input": arguments}
    return [
        head | {"stop_reason": "tool_use", "content": [{"type": "text", "text": "I look it up."}, call]},
        head | {"stop_reason": "end_turn", "content": [{"type": "text", "text": FINAL}]},
    ]


def _script(upstream, name: str, dialect: str):
    return upstream.script(name, *(answer(200, turn) for turn in _turns(dialect)))


def _saw_the_result(script, dialect: str):
    """The second request carries the tool's result under the call's id."""
    assert len(script.asked) == 2
    said = script.asked[1].body["messages"]
    if dialect == "chat":
        (result,) = (m for m in said if m["role"] == "tool")
        assert result["tool_call_id"] == "call_1" and "18" in json.dumps(result["content"])
    else:
        blocks = [b for m in said if isinstance(m["content"], list) for b in m["content"]]
        (result,) = (b for b in blocks if b["type"] == "tool_result")
        assert result["tool_use_id"] == "toolu_1" and "18" in json.dumps(result["content"])


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("responses", [False, True], ids=["chat", "responses"])
def test_a_langgraph_agent_over_messages(freehold, upstream, responses):
    from langchain_openai import ChatOpenAI
    from langgraph.prebuilt import create_react_agent

    def temperature(city: str) -> str:
        """Tells the temperature in a city."""
        return f"18 degrees in {city}"

    name = f"langgraph-{responses}"
    script = _script(upstream, name, "messages")
    model = ChatOpenAI(
        model=f"up-messages/{name}", base_url=f"{freehold.url}/v1", api_key=ADMIN, max_retries=0,
        use_responses_api=responses,
    )  # fmt: skip
    done = create_react_agent(model, [temperature]).invoke({"messages": [("user", "How warm is Paris?")]})
    assert done["messages"][-1].text == FINAL
    assert done["messages"][-1].usage_metadata["output_tokens"] == 9
    _saw_the_result(script, "messages")


@pytest.mark.filterwarnings("ignore")
def test_a_langgraph_agent_of_anthropic_over_chat(freehold, upstream):
    from langchain_anthropic import ChatAnthropic
    from langgraph.prebuilt import create_react_agent

    def temperature(city: str) -> str:
        """Tells the temperature in a city."""
        return f"18 degrees in {city}"

    script = _script(upstream, "langgraph-anthropic", "chat")
    model = ChatAnthropic(
        model="up-chat/langgraph-anthropic", base_url=freehold.url, api_key=ADMIN, max_retries=0, max_tokens=100
    )
    done = create_react_agent(model, [temperature]).invoke({"messages": [("user", "How warm is Paris?")]})
    assert done["messages"][-1].text == FINAL
    _saw_the_result(script, "chat")


@pytest.mark.parametrize("dialect", ["messages", "chat"])
@pytest.mark.parametrize("responses", [False, True], ids=["chat-client", "responses-client"])
def test_an_openai_agents_agent(freehold, upstream, dialect, responses):
    if dialect == "chat" and not responses:
        pytest.skip("the byte lane; see the crossed ones")
    from agents import Agent, OpenAIChatCompletionsModel, OpenAIResponsesModel, Runner, function_tool, set_tracing_disabled
    from openai import AsyncOpenAI

    set_tracing_disabled(True)
    called = []

    @function_tool
    def temperature(city: str) -> str:
        """Tells the temperature in a city."""
        called.append(city)
        return f"18 degrees in {city}"

    name = f"agents-{dialect}-{responses}"
    script = _script(upstream, name, dialect)
    client = AsyncOpenAI(base_url=f"{freehold.url}/v1", api_key=ADMIN, max_retries=0)
    kind = OpenAIResponsesModel if responses else OpenAIChatCompletionsModel
    agent = Agent(
        name="a", instructions="Be brief.", tools=[temperature], model=kind(model=f"up-{dialect}/{name}", openai_client=client)
    )
    done = asyncio.run(Runner.run(agent, "How warm is Paris?"))
    assert (done.final_output, called) == (FINAL, ["Paris"])
    _saw_the_result(script, dialect)


@pytest.mark.parametrize("managed", ["conversation", "previous"])
def test_an_openai_agents_agent_whose_conversation_the_server_keeps(own, upstream, managed):
    """Each turn sends what is new, and the server is started again between."""
    from agents import Agent, OpenAIResponsesModel, Runner, function_tool, set_tracing_disabled
    from openai import AsyncOpenAI
    from scripts import calls, says

    set_tracing_disabled(True)
    called = []

    @function_tool
    def temperature(city: str) -> str:
        """Tells the temperature in a city."""
        called.append(city)
        return f"18 degrees in {city}"

    server = own()
    script = upstream.script("managed", calls(("temperature", {"city": "Paris"})), says(FINAL), says("You asked of Paris."))

    def run(said: str, **more):
        async def go():
            client = AsyncOpenAI(base_url=f"{server.url}/v1", api_key=ADMIN, max_retries=0)
            model = OpenAIResponsesModel(model="up-chat/managed", openai_client=client)
            agent = Agent(name="a", instructions="Be brief.", tools=[temperature], model=model)
            if managed == "conversation" and "conversation_id" not in more:
                more["conversation_id"] = (await client.conversations.create()).id
            return await Runner.run(agent, said, **more), more

        return asyncio.run(go())

    first, more = run("How warm is Paris?", **({} if managed == "conversation" else {"auto_previous_response_id": True}))
    assert (first.final_output, called) == (FINAL, ["Paris"])
    server.kill()
    server.start()
    if managed == "previous":
        more = {"previous_response_id": first.last_response_id}
    second, _ = run("What did I ask?", **more)
    assert second.final_output == "You asked of Paris."
    said = [m["role"] for m in script.asked[-1].body["messages"]]
    assert said.count("user") == 2 and said.count("tool") == 1, said


def test_the_scripts_are_in_the_dialects_they_claim():
    import facts

    for dialect in ("chat", "messages"):
        first, second = (facts.FOLDS[dialect](turn) for turn in _turns(dialect))
        assert first.stop == "call" and len(first.calls) == 1
        assert second.text == FINAL
    assert set(cases.DIALECTS) == set(facts.FOLDS)

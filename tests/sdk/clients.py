"""The official Python SDKs, asked alike."""

from __future__ import annotations

import anthropic
import openai

import facts


def open_ai(url: str, key: str) -> openai.OpenAI:
    return openai.OpenAI(base_url=f"{url}/v1", api_key=key, max_retries=0, timeout=60)


def anthropic_ai(url: str, key: str) -> anthropic.Anthropic:
    return anthropic.Anthropic(base_url=url, api_key=key, max_retries=0, timeout=60)


def ask(url: str, key: str, dialect: str, model: str, request: dict, stream: bool):
    """The SDK's answer, or the list of its events, as plain data."""
    if dialect == "messages":
        made = anthropic_ai(url, key).messages.create(model=model, stream=stream, **request)
    elif dialect == "responses":
        made = open_ai(url, key).responses.create(model=model, stream=stream, **request)
    else:
        more = {"stream_options": {"include_usage": True}} if stream else {}
        made = open_ai(url, key).chat.completions.create(model=model, stream=stream, **(more | request))
    if stream:
        # Freehold's model events only: pings say nothing.
        return [e for event in made if (e := event.to_dict(mode="json")).get("type") != "ping"]
    return made.to_dict(mode="json")


def fold(dialect: str, answer, stream: bool) -> facts.Facts:
    return (facts.STREAM_FOLDS if stream else facts.FOLDS)[dialect](answer)

"""The official client straight at `martlet simulate`: what it takes for a provider, and the faults it can be told to have."""

import asyncio
import base64
import gzip
import http.client
import json
import math
import pathlib
import re
import signal
import socket
import ssl
import struct
import subprocess
import time
import typing

import openai
import pydantic
import pytest

from processes import BINARY, Simulator, http_request, wait_until

MODEL = "gpt-4o-mini"
HELLO = [{"role": "user", "content": "Tell me about rivers."}]
WEATHER_TOOL = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "parameters": {
            "type": "object",
            "properties": {
                "city": {"type": "string"},
                "unit": {"type": "string", "enum": ["celsius", "fahrenheit"]},
                "days": {"type": "integer", "minimum": 1, "maximum": 7},
            },
            "required": ["city", "unit", "days"],
            "additionalProperties": False,
        },
    },
}
CLOCK_TOOL = {
    "type": "function",
    "function": {"name": "get_time", "parameters": {"type": "object", "properties": {"zone": {"type": "string"}}, "required": ["zone"]}},
}


@pytest.fixture(scope="module")
def provider(tmp_path_factory):
    simulator = Simulator(tmp_path_factory.mktemp("provider"))
    try:
        yield simulator.start()
    finally:
        simulator.stop()


@pytest.fixture
def client(provider):
    return openai.OpenAI(base_url=f"{provider.url}/v1", api_key="sk-any", max_retries=0)


@pytest.fixture
def start(tmp_path):
    """Starts simulators of this test alone, with flags."""
    started = []

    def start(*flags):
        started.append(Simulator(tmp_path / f"simulator-{len(started)}", *flags))
        return started[-1].start()

    yield start
    for simulator in started:
        simulator.stop()


def ask(client, **fields):
    return client.chat.completions.create(**{"model": MODEL, "messages": HELLO, **fields})


def text_of(chunks):
    return "".join(choice.delta.content or "" for chunk in chunks for choice in chunk.choices)


def raw_post(provider, path, body, **headers):
    headers = {name.replace("_", "-"): value for name, value in headers.items()}
    return http_request(provider.port, "POST", path, body=body, key="sk-any", headers=headers)


# Chat


def test_a_plain_answer_has_every_field_of_openai(client):
    response = client.chat.completions.with_raw_response.create(model=MODEL, messages=HELLO)
    answer = response.parse()
    assert answer.id.startswith("chatcmpl-") and answer.object == "chat.completion" and answer.model == MODEL
    assert abs(answer.created - time.time()) < 5
    choice = answer.choices[0]
    assert choice.index == 0 and choice.message.role == "assistant" and choice.finish_reason == "stop" and choice.logprobs is None
    assert choice.message.refusal is None and choice.message.annotations == [] and not choice.message.tool_calls
    assert len(choice.message.content.split()) == answer.usage.completion_tokens
    assert answer.usage.total_tokens == answer.usage.prompt_tokens + answer.usage.completion_tokens
    assert answer.usage.prompt_tokens_details.cached_tokens == 0 and answer.usage.completion_tokens_details.reasoning_tokens == 0
    assert answer.system_fingerprint.startswith("fp_") and answer.service_tier == "default"
    assert response.headers["x-request-id"] == answer._request_id and response.headers["openai-processing-ms"].isdigit()


def test_request_ids_and_answer_ids_are_unique(client):
    answers = [ask(client) for _ in range(20)]
    assert len({answer._request_id for answer in answers}) == 20 and len({answer.id for answer in answers}) == 20


def test_equal_requests_have_equal_answers_and_a_seed_changes_them(client):
    texts = [ask(client).choices[0].message.content for _ in range(2)]
    assert texts[0] == texts[1]
    seeded = [ask(client, seed=7).choices[0].message.content for _ in range(2)]
    assert seeded[0] == seeded[1] != texts[0]
    by_header = ask(client, extra_headers={"x-sim-seed": "7"}).choices[0].message.content
    assert by_header == seeded[0]
    assert ask(client, messages=[{"role": "user", "content": "Something else."}]).choices[0].message.content != texts[0]


def test_a_stream_is_the_plain_answer_in_pieces(client):
    plain = ask(client)
    chunks = list(ask(client, stream=True))
    assert text_of(chunks) == plain.choices[0].message.content
    assert chunks[0].choices[0].delta.role == "assistant" and all(chunk.choices[0].delta.role is None for chunk in chunks[1:])
    assert [chunk.choices[0].finish_reason for chunk in chunks] == [None] * (len(chunks) - 1) + ["stop"]
    assert len({chunk.id for chunk in chunks}) == 1 and all(chunk.object == "chat.completion.chunk" for chunk in chunks)
    assert all("usage" not in chunk.model_fields_set for chunk in chunks)
    assert sum(bool(chunk.choices[0].delta.content) for chunk in chunks) == plain.usage.completion_tokens


def test_usage_comes_in_one_last_chunk_and_only_when_asked(client):
    plain = ask(client)
    chunks = list(ask(client, stream=True, stream_options={"include_usage": True}))
    assert all("usage" in chunk.model_fields_set and chunk.usage is None for chunk in chunks[:-1])
    assert chunks[-2].choices[0].finish_reason == "stop" and chunks[-1].choices == []
    assert chunks[-1].usage == plain.usage


def test_the_stream_on_the_wire_ends_with_done_and_frames_are_of_real_size(provider):
    answer = raw_post(provider, "/v1/chat/completions", {"model": MODEL, "messages": HELLO, "stream": True})
    assert answer.headers["content-type"].startswith("text/event-stream")
    frames = answer.body.decode().split("\n\n")
    assert frames[-1] == "" and frames[-2] == "data: [DONE]" and all(frame.startswith("data: ") for frame in frames[:-1])
    sizes = [len(frame) for frame in frames[1:-3]]
    assert 150 < sum(sizes) / len(sizes) < 220


def test_the_stream_helper_puts_the_answer_together(client):
    with client.chat.completions.stream(model=MODEL, messages=HELLO, stream_options={"include_usage": True}) as stream:
        deltas = [event.delta for event in stream if event.type == "content.delta"]
        final = stream.get_final_completion()
    assert "".join(deltas) == final.choices[0].message.content == ask(client).choices[0].message.content
    assert final.usage.completion_tokens == len([delta for delta in deltas if delta])


@pytest.mark.parametrize("field", ["max_tokens", "max_completion_tokens"])
def test_the_callers_limit_ends_the_answer(client, field):
    answer = ask(client, **{field: 5})
    assert answer.choices[0].finish_reason == "length" and answer.usage.completion_tokens == 5
    chunks = list(ask(client, stream=True, **{field: 5}))
    assert chunks[-1].choices[0].finish_reason == "length" and text_of(chunks) == answer.choices[0].message.content


def test_stop_texts_end_the_answer_before_them(client):
    whole = ask(client).choices[0].message.content
    stop = whole.split()[4]
    answer = ask(client, stop=[stop, "never in the text"])
    assert answer.choices[0].finish_reason == "stop" and answer.choices[0].message.content == whole[: whole.index(stop)]
    assert text_of(ask(client, stop=stop, stream=True)) == answer.choices[0].message.content


def test_several_choices_differ_and_are_counted_together(client):
    answer = ask(client, n=3)
    texts = [choice.message.content for choice in answer.choices]
    assert [choice.index for choice in answer.choices] == [0, 1, 2] and len(set(texts)) == 3
    assert sum(len(text.split()) for text in texts) == answer.usage.completion_tokens
    streamed = ["", "", ""]
    for chunk in ask(client, n=3, stream=True):
        for choice in chunk.choices:
            streamed[choice.index] += choice.delta.content or ""
    assert streamed == texts


def test_log_probabilities_stand_by_every_token(client):
    answer = ask(client, logprobs=True, top_logprobs=4)
    tokens = answer.choices[0].logprobs.content
    assert "".join(token.token for token in tokens) == answer.choices[0].message.content
    for token in tokens:
        assert token.logprob <= 0 and bytes(token.bytes).decode() == token.token
        values = [top.logprob for top in token.top_logprobs]
        assert len(values) == 4 and values == sorted(values, reverse=True) and token.top_logprobs[0].token == token.token
    streamed = [entry for chunk in ask(client, logprobs=True, top_logprobs=4, stream=True) for choice in chunk.choices if choice.logprobs for entry in choice.logprobs.content]
    assert streamed == tokens


def test_content_parts_with_an_image_are_taken(client):
    parts = [{"type": "text", "text": "What is this?"}, {"type": "image_url", "image_url": {"url": "data:image/png;base64,iVBORw0KGgo="}}]
    answer = ask(client, messages=[{"role": "user", "content": parts}])
    assert answer.choices[0].message.content and answer.usage.prompt_tokens > 85


def test_long_prompts_are_cached_in_part_and_reasoning_models_reason(client):
    answer = ask(client, model="gpt-5-mini", messages=[{"role": "user", "content": "word " * 2000}])
    assert answer.usage.prompt_tokens > 2400 and answer.usage.prompt_tokens_details.cached_tokens % 128 == 0
    assert answer.usage.prompt_tokens_details.cached_tokens > 1000
    assert answer.usage.completion_tokens_details.reasoning_tokens == 64
    assert answer.usage.completion_tokens == 64 + len(answer.choices[0].message.content.split())
    assert ask(client, reasoning_effort="high").usage.completion_tokens_details.reasoning_tokens == 128


def test_text_outside_ascii_and_escapes_are_read(client):
    answer = ask(client, messages=[{"role": "system", "content": 'Zitat: "Größe" \\ \n\t'}, {"role": "user", "content": "日本語 😀"}])
    assert answer.choices[0].message.content


# Tools


def check_weather(arguments):
    arguments = json.loads(arguments)
    assert set(arguments) == {"city", "unit", "days"} and arguments["unit"] in ("celsius", "fahrenheit") and 1 <= arguments["days"] <= 7


def test_a_tool_is_called_when_the_user_speaks_of_it_and_its_result_is_answered_in_words(client):
    messages = [{"role": "user", "content": "What is the weather in Oslo?"}]
    answer = ask(client, messages=messages, tools=[WEATHER_TOOL])
    choice = answer.choices[0]
    assert choice.finish_reason == "tool_calls" and choice.message.content is None and len(choice.message.tool_calls) == 1
    call = choice.message.tool_calls[0]
    assert call.type == "function" and call.function.name == "get_weather" and call.id.startswith("call_")
    check_weather(call.function.arguments)
    messages += [choice.message.model_dump(exclude_none=True), {"role": "tool", "tool_call_id": call.id, "content": "12 degrees"}]
    assert ask(client, messages=messages, tools=[WEATHER_TOOL]).choices[0].message.content


def test_tools_are_left_alone_when_nobody_speaks_of_them_or_they_are_forbidden(client):
    assert ask(client, tools=[WEATHER_TOOL]).choices[0].message.content
    weather = [{"role": "user", "content": "weather?"}]
    assert ask(client, messages=weather, tools=[WEATHER_TOOL], tool_choice="none").choices[0].message.content


def test_tool_choice_and_parallel_calls(client):
    both = ask(client, tools=[WEATHER_TOOL, CLOCK_TOOL], tool_choice="required").choices[0].message.tool_calls
    assert [call.function.name for call in both] == ["get_weather", "get_time"] and both[0].id != both[1].id
    single = ask(client, tools=[WEATHER_TOOL, CLOCK_TOOL], tool_choice="required", parallel_tool_calls=False).choices[0].message.tool_calls
    assert len(single) == 1
    named = {"type": "function", "function": {"name": "get_time"}}
    chosen = ask(client, tools=[WEATHER_TOOL, CLOCK_TOOL], tool_choice=named).choices[0].message.tool_calls
    assert [call.function.name for call in chosen] == ["get_time"] and set(json.loads(chosen[0].function.arguments)) == {"zone"}


def test_streamed_tool_calls_say_id_and_name_once_and_add_up(client):
    fields = {"tools": [WEATHER_TOOL, CLOCK_TOOL], "tool_choice": "required"}
    plain = ask(client, **fields).choices[0]
    found = {}
    chunks = list(ask(client, stream=True, stream_options={"include_usage": True}, **fields))
    for delta in (call for chunk in chunks for choice in chunk.choices for call in choice.delta.tool_calls or []):
        if delta.index not in found:
            assert delta.id and delta.function.name and delta.type == "function"
            found[delta.index] = [delta.id, delta.function.name, delta.function.arguments]
        else:
            assert delta.id is None and delta.function.name is None and 0 < len(delta.function.arguments) <= 8
            found[delta.index][2] += delta.function.arguments
    assert list(found.values()) == [[call.id, call.function.name, call.function.arguments] for call in plain.message.tool_calls]
    assert chunks[-2].choices[0].finish_reason == plain.finish_reason == "tool_calls"
    with client.chat.completions.stream(model=MODEL, messages=HELLO, **fields) as stream:
        final = stream.get_final_completion().choices[0].message
    assert [call.function.arguments for call in final.tool_calls] == [call[2] for call in found.values()]


# Structured answers


class Address(pydantic.BaseModel):
    street: str
    number: int = pydantic.Field(ge=1, le=500)


class Person(pydantic.BaseModel):
    name: str
    kind: typing.Literal["person", "company"]
    height: float
    is_member: bool
    nickname: str | None
    addresses: list[Address]
    children: list["Person"]


def test_an_answer_to_a_schema_fits_the_schema(client):
    for seed in range(10):
        answer = client.chat.completions.parse(model=MODEL, messages=HELLO, response_format=Person, seed=seed)
        assert isinstance(answer.choices[0].message.parsed, Person)


def test_a_streamed_answer_to_a_schema_is_the_same(client):
    with client.chat.completions.stream(model=MODEL, messages=HELLO, response_format=Person) as stream:
        final = stream.get_final_completion()
    plain = client.chat.completions.parse(model=MODEL, messages=HELLO, response_format=Person)
    assert final.choices[0].message.parsed == plain.choices[0].message.parsed


def test_json_mode_answers_an_object_and_wants_the_word_json(client):
    answer = ask(client, messages=[{"role": "user", "content": "Answer in JSON."}], response_format={"type": "json_object"})
    assert isinstance(json.loads(answer.choices[0].message.content), dict)
    with pytest.raises(openai.BadRequestError, match="json"):
        ask(client, response_format={"type": "json_object"})


# Completions, embeddings, models


def test_completions_plain_and_streamed(client):
    plain = client.completions.create(model="gpt-3.5-turbo-instruct", prompt="Once", max_tokens=9)
    assert plain.object == "text_completion" and plain.choices[0].finish_reason == "length" and plain.usage.completion_tokens == 9
    chunks = list(client.completions.create(model="gpt-3.5-turbo-instruct", prompt="Once", max_tokens=9, stream=True, stream_options={"include_usage": True}))
    assert "".join(choice.text for chunk in chunks for choice in chunk.choices) == plain.choices[0].text
    assert chunks[-1].choices == [] and chunks[-1].usage == plain.usage and chunks[-2].choices[0].finish_reason == "length"


def test_completions_of_many_prompts_with_echo_choices_and_log_probabilities(client):
    answer = client.completions.create(model="gpt-3.5-turbo-instruct", prompt=["One", "Two"], n=2, echo=True, logprobs=2, max_tokens=6)
    assert [choice.index for choice in answer.choices] == [0, 1, 2, 3]
    assert [choice.text[:3] for choice in answer.choices] == ["One", "One", "Two", "Two"] and answer.usage.completion_tokens == 24
    for choice in answer.choices:
        logprobs = choice.logprobs
        assert "".join(logprobs.tokens) == choice.text and len(logprobs.token_logprobs) == len(logprobs.top_logprobs) == len(logprobs.tokens)
        assert all(choice.text[offset:].startswith(token) for offset, token in zip(logprobs.text_offset, logprobs.tokens))
    assert client.completions.create(model="gpt-3.5-turbo-instruct", prompt=[1, 2, 3], max_tokens=2).usage.prompt_tokens == 3


def test_embeddings_are_unit_vectors_equal_in_both_encodings(client, provider):
    default = client.embeddings.create(model="text-embedding-3-small", input=["river", "delta"])
    floats = client.embeddings.create(model="text-embedding-3-small", input=["river", "delta"], encoding_format="float")
    assert [entry.index for entry in default.data] == [0, 1] and [len(entry.embedding) for entry in default.data] == [1536, 1536]
    for left, right in zip(default.data, floats.data):
        assert all(math.isclose(a, b, rel_tol=1e-6, abs_tol=1e-9) for a, b in zip(left.embedding, right.embedding))
        assert math.isclose(sum(number * number for number in left.embedding), 1, rel_tol=1e-5)
    assert default.data[0].embedding != default.data[1].embedding and default.usage.prompt_tokens == 4
    wire = raw_post(provider, "/v1/embeddings", {"model": "text-embedding-3-small", "input": "river", "encoding_format": "base64"}).json()
    packed = base64.b64decode(wire["data"][0]["embedding"], validate=True)
    assert list(struct.unpack("<1536f", packed)) == default.data[0].embedding


def test_embeddings_of_tokens_and_of_fewer_dimensions(client):
    assert len(client.embeddings.create(model="text-embedding-3-large", input="river").data[0].embedding) == 3072
    short = client.embeddings.create(model="text-embedding-3-large", input="river", dimensions=256).data[0].embedding
    assert len(short) == 256 and math.isclose(sum(number * number for number in short), 1, rel_tol=1e-5)
    tokens = client.embeddings.create(model="text-embedding-3-small", input=[[1, 2, 3], [4, 5]])
    assert len(tokens.data) == 2 and tokens.usage.total_tokens == 5
    with pytest.raises(openai.BadRequestError) as raised:
        client.embeddings.create(model="text-embedding-3-small", input="river", dimensions=5000)
    assert raised.value.param == "dimensions"


def test_models_are_listed_and_found_by_ids_with_slashes(client):
    models = client.models.list()
    assert MODEL in [model.id for model in models] and all(model.object == "model" for model in models)
    assert client.models.retrieve("meta/llama-3:8b").id == "meta/llama-3:8b"
    with pytest.raises(openai.NotFoundError) as raised:
        client.models.retrieve("unknown-model")
    assert raised.value.code == "model_not_found"


def test_a_raw_slash_in_a_model_id_works_too(provider):
    assert http_request(provider.port, "GET", "/v1/models/meta/llama", key="k").json()["id"] == "meta/llama"
    assert http_request(provider.port, "GET", "/v1/models/meta%2Fllama", key="k").json()["id"] == "meta/llama"


# Refusals


@pytest.mark.parametrize(
    "fields, param",
    [
        ({"model": None}, "model"),
        ({"model": 3}, "model"),
        ({"messages": None}, "messages"),
        ({"messages": []}, "messages"),
        ({"messages": "hello"}, "messages"),
        ({"messages": ["hello"]}, "messages[0]"),
        ({"messages": [{"content": "x"}]}, "messages[0].role"),
        ({"messages": [{"role": "robot", "content": "x"}]}, "messages[0].role"),
        ({"messages": [{"role": "user", "content": 5}]}, "messages[0].content"),
        ({"messages": [{"role": "user", "content": [{"type": "smell"}]}]}, "messages[0].content[0].type"),
        ({"temperature": "hot"}, "temperature"),
        ({"temperature": 3}, "temperature"),
        ({"stream": "yes"}, "stream"),
        ({"n": 0}, "n"),
        ({"max_tokens": -1}, "max_tokens"),
        ({"top_logprobs": 2}, "top_logprobs"),
        ({"stop": ["a", "b", "c", "d", "e"]}, "stop"),
        ({"tools": []}, "tools"),
        ({"tools": [{"type": "function"}]}, "tools[0].function"),
        ({"tool_choice": "auto"}, "tool_choice"),
        ({"response_format": {"type": "xml"}}, "response_format.type"),
        ({"stream_options": {"include_usage": True}}, "stream_options"),
    ],
)
def test_wrong_fields_are_named(provider, fields, param):
    answer = raw_post(provider, "/v1/chat/completions", {"model": MODEL, "messages": HELLO, **fields})
    error = answer.json()["error"]
    assert answer.status == 400 and error["type"] == "invalid_request_error" and error["param"] == param and error["message"]
    assert set(error) == {"message", "type", "param", "code"} and answer.headers["x-request-id"]


@pytest.mark.parametrize(
    "body", [b"", b"{", b"[]", b'{"model":"m",}', b'{"model":"m"} x', b'{"model":"\xff"}', b'{"model":"\x01"}', b'{"model":01}', b"[" * 5000, b'{"a":' * 5000]
)
def test_malformed_bodies_are_refused(provider, body):
    answer = raw_post(provider, "/v1/chat/completions", body)
    assert answer.status == 400 and answer.json()["error"]["type"] == "invalid_request_error"


def test_paths_methods_models_and_keys(provider, client):
    assert http_request(provider.port, "GET", "/v1/chat/completions", key="k").status == 405
    assert http_request(provider.port, "GET", "/v1/nothing", key="k").json()["error"]["code"] == "unknown_url"
    assert http_request(provider.port, "POST", "/v1/chat/completions", body={}).status == 401
    with pytest.raises(openai.NotFoundError) as raised:
        ask(client, model="unknown-7")
    assert raised.value.code == "model_not_found" and raised.value.request_id


def test_a_key_can_be_demanded(start):
    simulator = start("--api-key", "sk-right")
    right = openai.OpenAI(base_url=f"{simulator.url}/v1", api_key="sk-right", max_retries=0)
    assert ask(right).choices
    with pytest.raises(openai.AuthenticationError) as raised:
        ask(right.with_options(api_key="sk-wrong"))
    assert raised.value.code == "invalid_api_key"


# Faults


@pytest.mark.parametrize(
    "status, kind, code",
    [
        (400, openai.BadRequestError, None),
        (401, openai.AuthenticationError, "invalid_api_key"),
        (403, openai.PermissionDeniedError, "permission_denied"),
        (404, openai.NotFoundError, "model_not_found"),
        (408, openai.APIStatusError, "request_timeout"),
        (409, openai.ConflictError, "conflict"),
        (413, openai.APIStatusError, "request_too_large"),
        (422, openai.UnprocessableEntityError, "unprocessable_entity"),
        (429, openai.RateLimitError, "rate_limit_exceeded"),
        (500, openai.InternalServerError, "internal_error"),
        (502, openai.InternalServerError, "bad_gateway"),
        (503, openai.InternalServerError, "service_unavailable"),
        (504, openai.InternalServerError, "gateway_timeout"),
        (529, openai.InternalServerError, "overloaded"),
    ],
)
@pytest.mark.parametrize("stream", [False, True])
def test_each_error_is_the_clients_error_of_its_class(client, status, kind, code, stream):
    with pytest.raises(kind) as raised:
        ask(client, stream=stream, extra_headers={"x-sim-error": str(status)})
    error = raised.value
    assert error.status_code == status and error.code == code and error.type and error.request_id
    assert ("retry-after" in error.response.headers) == (status == 429)


def test_the_code_can_be_chosen(client):
    with pytest.raises(openai.RateLimitError) as raised:
        ask(client, extra_headers={"x-sim-error": "429", "x-sim-error-code": "insufficient_quota"})
    assert raised.value.code == raised.value.type == "insufficient_quota" and "retry-after" not in raised.value.response.headers
    with pytest.raises(openai.RateLimitError) as raised:
        ask(client, extra_headers={"x-sim-error": "429", "x-sim-retry-after": "7"})
    assert raised.value.type == "requests" and raised.value.response.headers["retry-after"] == "7"


def test_the_client_retries_what_fails_first(client):
    headers = {"x-sim-fail-first": "2", "x-sim-scenario": "retries", "x-sim-error": "429", "x-sim-retry-after": "0.01"}
    answer = client.with_options(max_retries=3).chat.completions.with_raw_response.create(model=MODEL, messages=HELLO, extra_headers=headers)
    assert answer.retries_taken == 2 and answer.parse().choices


def test_wrong_simulator_headers_are_refused(client):
    for headers in [{"x-sim-tokens": "many"}, {"x-sim-error": "200"}, {"x-sim-surprise": "1"}]:
        with pytest.raises(openai.BadRequestError):
            ask(client, extra_headers=headers)


def test_delays_hold_for_plain_and_streamed_answers(client):
    headers = {"x-sim-ttft-ms": "120", "x-sim-token-ms": "20", "x-sim-tokens": "10"}
    began = time.monotonic()
    ask(client, extra_headers=headers)
    assert 0.32 <= time.monotonic() - began < 0.8
    began = time.monotonic()
    times = [time.monotonic() - began for chunk in ask(client, stream=True, extra_headers=headers) if chunk.choices[0].delta.content]
    assert len(times) == 10 and 0.12 <= times[0] < 0.4 and 0.3 <= times[-1] < 0.8


def test_a_cut_stream_breaks_after_its_frames(client):
    content = []
    with pytest.raises(openai.APIConnectionError):
        for chunk in ask(client, stream=True, extra_headers={"x-sim-cut-after": "5"}):
            content.append(chunk.choices[0].delta.content)
    assert len([text for text in content if text]) == 5


def test_a_cut_plain_answer_is_short(provider):
    with pytest.raises(http.client.IncompleteRead) as raised:
        raw_post(provider, "/v1/chat/completions", {"model": MODEL, "messages": HELLO}, x_sim_cut_after="40")
    assert len(raised.value.partial) == 40


def test_a_stalled_stream_says_nothing_more_and_its_leaving_client_is_counted(provider, client):
    before = provider.stats()["cancelled"]
    received = []
    with pytest.raises(openai.APITimeoutError):
        for chunk in ask(client, stream=True, timeout=0.3, extra_headers={"x-sim-stall-after": "3"}):
            received.append(chunk.choices[0].delta.content)
    assert len([text for text in received if text]) == 3
    stats = wait_until(lambda: (found := provider.stats())["cancelled"] > before and found, 5, "the client that left is counted")
    assert stats["last_cancelled_frames"] == 3 and stats["streams_active"] == 0


def test_an_error_event_in_the_middle_raises(client):
    with pytest.raises(openai.APIError) as raised:
        list(ask(client, stream=True, extra_headers={"x-sim-stream-error-after": "4"}))
    assert raised.value.code == "internal_error"


def test_usage_can_be_left_out_or_told(client):
    headers = {"x-sim-no-usage": "1"}
    assert ask(client, extra_headers=headers).usage is None
    chunks = list(ask(client, stream=True, stream_options={"include_usage": True}, extra_headers=headers))
    assert all(chunk.choices and not chunk.usage for chunk in chunks)
    told = ask(client, extra_headers={"x-sim-prompt-tokens": "5000", "x-sim-cached-tokens": "4000", "x-sim-reasoning-tokens": "30", "x-sim-tokens": "12"}).usage
    assert (told.prompt_tokens, told.prompt_tokens_details.cached_tokens) == (5000, 4000)
    assert (told.completion_tokens, told.completion_tokens_details.reasoning_tokens) == (42, 30)


def test_a_client_that_leaves_stops_its_stream_at_once(provider, client):
    before = provider.stats()["cancelled"]
    stream = ask(client, stream=True, extra_headers={"x-sim-tokens": "100000", "x-sim-token-ms": "5"})
    for _ in range(4):
        next(iter(stream))
    assert provider.stats()["streams_active"] == 1
    left_at = time.time() * 1000
    stream.close()
    stats = wait_until(lambda: (found := provider.stats())["cancelled"] > before and found, 5, "the stream is cancelled")
    assert stats["last_cancelled_at_ms"] - left_at < 50 and stats["streams_active"] == 0


def test_a_client_that_reads_slowly_does_not_fill_the_memory(start):
    simulator = start("--tokens", "400000")

    def resident():
        """Kilobytes."""
        status = pathlib.Path(f"/proc/{simulator.process.pid}/status").read_text()
        return int(status.partition("VmRSS:")[2].split()[0])

    before = resident()
    with socket.create_connection(("127.0.0.1", simulator.port)) as connection:
        body = json.dumps({"model": MODEL, "messages": HELLO, "stream": True})
        connection.sendall(f"POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\nauthorization: Bearer k\r\ncontent-length: {len(body)}\r\n\r\n{body}".encode())
        assert connection.recv(1000).startswith(b"HTTP/1.1 200 OK")
        # The stream has filled the socket's buffers when another call's answer comes back; 400 000 frames would be 75 MB.
        assert openai.OpenAI(base_url=f"{simulator.url}/v1", api_key="k").chat.completions.create(model=MODEL, messages=HELLO, max_tokens=5).choices
        assert simulator.stats()["streams_active"] == 1
        assert resident() - before < 16 * 1024


def test_rates_draw_the_same_faults_for_the_same_seed(start):
    def fates():
        simulator = start("--seed", "3", "--error-rate", "0.3", "--error-status", "503", "--rate-limit-rate", "0.2", "--retry-after", "2")
        answers = [raw_post(simulator, "/v1/chat/completions", {"model": MODEL, "messages": HELLO}) for _ in range(100)]
        assert all(answer.headers["retry-after"] == "2" for answer in answers if answer.status == 429)
        return [answer.status for answer in answers]

    first, second = fates(), fates()
    assert first == second and 15 <= first.count(503) <= 45 and 8 <= first.count(429) <= 35 and first.count(200) > 30


# The server


def test_pipelined_requests_are_answered_in_their_order(provider):
    def request(tokens):
        body = json.dumps({"model": MODEL, "messages": HELLO})
        delay = "x-sim-ttft-ms: 50\r\n" if tokens == 1 else ""
        return f"POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\nauthorization: Bearer k\r\nx-sim-tokens: {tokens}\r\n{delay}content-length: {len(body)}\r\n\r\n{body}"

    with socket.create_connection(("127.0.0.1", provider.port)) as connection:
        connection.sendall("".join(request(tokens) for tokens in range(1, 41)).encode())
        answered = []
        with connection.makefile("rb") as received:
            for _ in range(40):
                assert received.readline() == b"HTTP/1.1 200 OK\r\n"
                length = 0
                while (line := received.readline()) != b"\r\n":
                    if line.startswith(b"content-length: "):
                        length = int(line.split()[1])
                answered.append(json.loads(received.read(length))["usage"]["completion_tokens"])
    assert answered == list(range(1, 41))


def test_expect_continue_is_answered_and_bad_http_is_refused(provider):
    body = json.dumps({"model": MODEL, "messages": HELLO}).encode()
    with socket.create_connection(("127.0.0.1", provider.port)) as connection:
        connection.sendall(f"POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\nauthorization: Bearer k\r\nexpect: 100-continue\r\ncontent-length: {len(body)}\r\n\r\n".encode())
        assert connection.recv(1000) == b"HTTP/1.1 100 Continue\r\n\r\n"
        connection.sendall(body)
        assert connection.recv(1000).startswith(b"HTTP/1.1 200 OK")
    with socket.create_connection(("127.0.0.1", provider.port)) as connection:
        connection.sendall(b"NONSENSE\r\n\r\n")
        assert connection.recv(1000).startswith(b"HTTP/1.1 400 ")


def test_an_http_1_0_client_gets_a_stream_that_ends_with_the_connection(provider):
    body = json.dumps({"model": MODEL, "messages": HELLO, "stream": True}).encode()
    with socket.create_connection(("127.0.0.1", provider.port)) as connection, connection.makefile("rb") as received:
        connection.sendall(f"POST /v1/chat/completions HTTP/1.0\r\nauthorization: Bearer k\r\ncontent-length: {len(body)}\r\n\r\n".encode() + body)
        head, _, rest = received.read().partition(b"\r\n\r\n")
    assert b"transfer-encoding" not in head and rest.startswith(b"data: {") and rest.endswith(b"data: [DONE]\n\n")


def test_two_hundred_concurrent_calls(provider):
    async def run():
        async with openai.AsyncOpenAI(base_url=f"{provider.url}/v1", api_key="k", max_retries=0) as client:
            async def one(number):
                answer = await client.chat.completions.create(model=MODEL, messages=[{"role": "user", "content": f"Call {number}"}], extra_headers={"x-sim-ttft-ms": "50"})
                return answer.choices[0].message.content

            return await asyncio.gather(*(one(number) for number in range(200)))

    assert len(set(asyncio.run(run()))) == 200


def test_recorded_calls_can_be_read_back_and_reset(start):
    simulator = start()
    client = openai.OpenAI(base_url=f"{simulator.url}/v1", api_key="k")
    ask(client, extra_headers={"x-sim-record": "1"})
    ask(client)
    (call,) = simulator.calls()["calls"]
    assert call["method"] == "POST" and call["uri"] == "/v1/chat/completions" and json.loads(call["body"]) == {"model": MODEL, "messages": HELLO}
    stats = simulator.stats()
    assert stats["requests"]["/v1/chat/completions"] == stats["completed"] == 2 and stats["active"] == 0
    http_request(simulator.port, "POST", "/sim/reset", body=b"")
    assert simulator.calls()["calls"] == [] and simulator.stats()["completed"] == 0


def test_it_speaks_tls(start, tmp_path):
    certificate, key = tmp_path / "certificate.pem", tmp_path / "key.pem"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2", "-subj", "/CN=localhost",
         "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1", "-keyout", key, "-out", certificate], check=True, capture_output=True)
    simulator = start("--tls-cert", str(certificate), "--tls-key", str(key))
    connection = http.client.HTTPSConnection("127.0.0.1", simulator.port, context=ssl.create_default_context(cafile=str(certificate)))
    connection.request("POST", "/v1/chat/completions", body=json.dumps({"model": MODEL, "messages": HELLO, "stream": True}), headers={"authorization": "Bearer k"})
    answer = connection.getresponse()
    assert answer.status == 200 and answer.read().endswith(b"data: [DONE]\n\n")
    connection.close()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_it_with_status_0_in_the_middle_of_a_stream(start, number):
    simulator = start("--token-ms", "50", "--tokens", "1000")
    assert f"simulator listening on http://127.0.0.1:{simulator.port}/v1" in wait_until(simulator.output, 5, "the address is printed")
    client = openai.OpenAI(base_url=f"{simulator.url}/v1", api_key="k", max_retries=0)
    stream = ask(client, stream=True)
    next(iter(stream))
    began = time.monotonic()
    simulator.process.send_signal(number)
    assert simulator.wait(5) == 0 and time.monotonic() - began < 1
    stream.close()


def test_a_busy_port_and_wrong_flags_are_told_in_words(provider, tmp_path):
    busy = subprocess.run([BINARY, "simulate", "--port", str(provider.port)], capture_output=True, text=True, timeout=20)
    assert busy.returncode == 1 and f"cannot listen on 127.0.0.1:{provider.port}: the port is in use" in busy.stderr
    wrong = subprocess.run([BINARY, "simulate", "--error-rate", "1.5"], capture_output=True, text=True, timeout=20)
    assert wrong.returncode == 64 and "--error-rate must be between 0 and 1" in wrong.stderr


# Limits


def test_rate_limit_headers_are_openai_s(client):
    response = client.chat.completions.with_raw_response.create(model=MODEL, messages=HELLO)
    headers = response.headers
    assert (headers["x-ratelimit-limit-requests"], headers["x-ratelimit-remaining-requests"]) == ("10000", "9999")
    assert int(headers["x-ratelimit-limit-tokens"]) > int(headers["x-ratelimit-remaining-tokens"]) > 0
    for name in ("requests", "tokens"):
        assert re.fullmatch(r"(\d+h)?(\d+m)?(\d+(\.\d+)?(ms|s))", headers[f"x-ratelimit-reset-{name}"])
    assert headers["openai-version"] == "2020-10-01" and headers["openai-organization"] and headers["x-request-id"].startswith("req_")


def test_limits_count_requests_and_tokens_of_each_key(start):
    simulator = start("--requests-per-minute", "3", "--tokens-per-minute", "1000", "--tokens", "10")
    first = openai.OpenAI(base_url=f"{simulator.url}/v1", api_key="k-1", max_retries=0)
    headers = [first.chat.completions.with_raw_response.create(model=MODEL, messages=HELLO).headers for _ in range(3)]
    assert [head["x-ratelimit-remaining-requests"] for head in headers] == ["2", "1", "0"]
    assert [head["x-ratelimit-limit-requests"] for head in headers] == ["3"] * 3
    assert headers[0]["x-ratelimit-reset-requests"] == "20s"
    left = [int(head["x-ratelimit-remaining-tokens"]) for head in headers]
    used = ask(openai.OpenAI(base_url=f"{simulator.url}/v1", api_key="k-other", max_retries=0)).usage.total_tokens
    assert left[0] == 1000 - used and left[0] > left[1] > left[2]
    with pytest.raises(openai.RateLimitError) as raised:
        ask(first)
    error = raised.value
    assert error.code == "rate_limit_exceeded" and error.type == "requests" and "Limit 3. Please try again in " in error.message
    assert 0 < int(error.response.headers["retry-after-ms"]) <= 20_000 and 0 < int(error.response.headers["retry-after"]) <= 20
    assert error.response.headers["x-ratelimit-remaining-requests"] == "0"
    second = openai.OpenAI(base_url=f"{simulator.url}/v1", api_key="k-2", max_retries=0)
    ask(second, messages=[{"role": "user", "content": "long " * 780}])
    with pytest.raises(openai.RateLimitError) as raised:
        ask(second)
    assert raised.value.type == "tokens"
    http_request(simulator.port, "POST", "/sim/reset", body=b"")
    assert ask(first).choices and ask(second).choices


def test_rate_limit_headers_can_be_left_out(start):
    simulator = start("--no-rate-limit-headers")
    answer = raw_post(simulator, "/v1/chat/completions", {"model": MODEL, "messages": HELLO})
    assert answer.status == 200 and not [name for name in answer.headers if name.startswith("x-ratelimit")]


# Scripts


@pytest.fixture
def scripted(start):
    """A simulator of this test alone with a script, and a client of it."""

    def make(text, *flags):
        simulator = start(*flags)
        answer = http_request(simulator.port, "PUT", "/sim/script", body=text.encode())
        assert answer.status == 200, answer
        return simulator, openai.OpenAI(base_url=f"{simulator.url}/v1", api_key="sk-script", max_retries=0)

    return make


def test_the_stream_helper_accumulates_scripted_tool_calls(scripted):
    _, client = scripted("""
rules:
  - match: { model: caller }
    then:
      tool_calls:
        - { name: get_weather, arguments: { city: "Åsgårdstrand", unit: celsius, days: 3 } }
        - { name: get_time, arguments: '{"zone": "Europe/Oslo"' }
""")
    with client.chat.completions.stream(model="caller", messages=HELLO, tools=[WEATHER_TOOL, CLOCK_TOOL]) as stream:
        done = [event for event in stream if event.type == "tool_calls.function.arguments.done"]
        final = stream.get_final_completion()
    calls = final.choices[0].message.tool_calls
    assert final.choices[0].finish_reason == "tool_calls" and [event.name for event in done] == ["get_weather", "get_time"]
    assert json.loads(calls[0].function.arguments) == {"city": "Åsgårdstrand", "unit": "celsius", "days": 3}
    assert calls[1].function.arguments == '{"zone": "Europe/Oslo"', "what a script says is sent as it is, broken or not"
    plain = ask(client, model="caller").choices[0].message.tool_calls
    assert [call.function.arguments for call in plain] == [call.function.arguments for call in calls]


def test_scripts_answer_with_texts_bodies_and_bytes(scripted):
    simulator, client = scripted("""
rules:
  - { match: { model: text }, then: { text: "Ünïcode, “quoted” and\\nlined", finish_reason: content_filter } }
  - { match: { model: body }, then: { status: 207, headers: { x-mine: here }, body: { custom: [1, "two", null] } } }
  - { match: { model: raw }, then: { raw: "HTTP/1.1 299 Own\\r\\ncontent-length: 2\\r\\n\\r\\nok" } }
  - { match: { model: slow, path: /v1/chat/* }, then: { ttft_ms: "uniform(80,120)", tokens: 3 } }
  - { match: { key: sk-other }, then: { error: 418, error_code: teapot } }
""")
    for stream in (False, True):
        answer = ask(client, model="text", stream=stream)
        text = text_of(answer) if stream else answer.choices[0].message.content
        assert text == "Ünïcode, “quoted” and\nlined"
    body = raw_post(simulator, "/v1/chat/completions", {"model": "body", "messages": HELLO})
    assert body.status == 207 and body.headers["x-mine"] == "here" and body.json() == {"custom": [1, "two", None]}
    raw = raw_post(simulator, "/v1/chat/completions", {"model": "raw", "messages": HELLO})
    assert raw.status == 299 and raw.body == b"ok"
    began = time.monotonic()
    assert ask(client, model="slow").usage.completion_tokens == 3
    assert time.monotonic() - began >= 0.08
    with pytest.raises(openai.APIStatusError) as raised:
        ask(client.with_options(api_key="sk-other"))
    assert raised.value.status_code == 418 and raised.value.code == "teapot"
    assert ask(client, model="slow", extra_headers={"x-sim-tokens": "9"}).usage.completion_tokens == 9, "a header stands over the script"


def test_a_script_is_taken_whole_or_not_at_all(scripted):
    simulator, client = scripted("rules: [{ then: { tokens: 5 } }]")
    wrong = http_request(simulator.port, "PUT", "/sim/script", body=b"rules:\n  - then: { tokens: 6 }\n  - then: { tokns: 7, fault: no-dune }\n")
    assert wrong.status == 400
    error = wrong.json()["error"]
    assert error["code"] == "invalid_script" and "script:3: rules[1].then.tokns: is no known key" in error["message"] and "no-dune" in error["message"]
    assert ask(client).usage.completion_tokens == 5
    shown = http_request(simulator.port, "GET", "/sim/script").json()
    assert shown["source"] == "rules: [{ then: { tokens: 5 } }]" and shown["rules"][0]["applied"] == 1
    assert http_request(simulator.port, "DELETE", "/sim/script").status == 200
    assert ask(client).usage.completion_tokens != 5
    assert http_request(simulator.port, "POST", "/sim/script", body=b"").status == 405


def test_a_script_comes_from_a_file_too(start, tmp_path):
    file = tmp_path / "script.yaml"
    file.write_text("rules:\n  - match: { stream: true }\n    then: { fault: no-done }\n")
    simulator = start("--script", str(file))
    body = {"model": MODEL, "messages": HELLO, "stream": True}
    assert b"[DONE]" not in raw_post(simulator, "/v1/chat/completions", body).body
    file.write_text("rules:\n  - match: { strem: true }\n    then: {}\n")
    wrong = subprocess.run([BINARY, "simulate", "--port", "0", "--script", str(file)], capture_output=True, text=True, timeout=20)
    assert wrong.returncode == 1 and f"{file}:2: rules[0].match.strem: is no known key" in wrong.stderr
    missing = subprocess.run([BINARY, "simulate", "--port", "0", "--script", str(tmp_path / "none")], capture_output=True, text=True, timeout=20)
    assert missing.returncode == 1 and "there is no such file" in missing.stderr


# Faults by name; what Martlet makes of each is the table of Tests/Scenarios/test_faults.py


def test_the_list_of_faults_is_the_same_everywhere(provider):
    listed = subprocess.run([BINARY, "simulate", "--list-faults"], capture_output=True, text=True, timeout=20).stdout.splitlines()
    served = http_request(provider.port, "GET", "/sim/faults").json()["faults"]
    assert [re.match(r"[a-z0-9.-]+", line).group() for line in listed] == [fault["name"] for fault in served]
    page = (pathlib.Path(__file__).parents[2] / "Docs/simulator.md").read_text()
    told = [line.removeprefix("- ") for line in page.splitlines() if re.match(r"- `?[a-z0-9.-]+(\[=N\])?`?: ", line)]
    assert [line.replace("`", "") for line in told] == [line.replace("`", "") for line in listed]


def test_a_flag_gives_every_call_or_a_share_of_them_a_fault(start):
    every = start("--fault", "wrong-type,no-done")
    answer = raw_post(every, "/v1/chat/completions", {"model": MODEL, "messages": HELLO, "stream": True})
    assert answer.headers["content-type"] == "text/plain" and b"finish_reason" in answer.body and b"[DONE]" not in answer.body
    some = start("--fault", "status-503", "--fault-rate", "0.5", "--seed", "4")
    fates = [raw_post(some, "/v1/chat/completions", {"model": MODEL, "messages": HELLO}).status for _ in range(40)]
    assert set(fates) == {200, 503}
    wrong = subprocess.run([BINARY, "simulate", "--fault", "no-dune"], capture_output=True, text=True, timeout=20)
    assert wrong.returncode == 64 and "there is no fault 'no-dune'" in wrong.stderr


def test_faults_reach_completions_and_embeddings_too(provider):
    text = raw_post(provider, "/v1/completions", {"model": "gpt-3.5-turbo-instruct", "prompt": "x"}, x_sim_fault="usage-small")
    assert text.json()["usage"]["completion_tokens"] == 1
    stream = raw_post(provider, "/v1/completions", {"model": "gpt-3.5-turbo-instruct", "prompt": "x", "stream": True}, x_sim_fault="crlf")
    assert stream.body.endswith(b"data: [DONE]\r\n\r\n")
    vectors = raw_post(provider, "/v1/embeddings", {"model": "text-embedding-3-small", "input": "x"}, x_sim_fault="truncated-json")
    with pytest.raises(ValueError):
        vectors.json()


@pytest.mark.parametrize("fault, error", [("reset-at=0", ConnectionResetError), ("reset-at=60", ConnectionResetError), ("reset-on-head", ConnectionResetError), ("reset-on-body=5", ConnectionResetError)])
def test_a_reset_is_a_reset(provider, fault, error):
    body = json.dumps({"model": MODEL, "messages": HELLO})
    with socket.create_connection(("127.0.0.1", provider.port)) as connection:
        connection.sendall(f"POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\nauthorization: Bearer k\r\nx-sim-fault: {fault}\r\ncontent-length: {len(body)}\r\n\r\n{body}".encode())
        received = b""
        with pytest.raises(error):
            while part := connection.recv(1000):
                received += part
    assert len(received) == (60 if fault == "reset-at=60" else 0)


def test_an_end_comes_at_exactly_the_byte(provider):
    body = json.dumps({"model": MODEL, "messages": HELLO, "stream": True})
    for place in (0, 1, 60, 500, 1500):
        with socket.create_connection(("127.0.0.1", provider.port)) as connection, connection.makefile("rb") as received:
            connection.sendall(f"POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\nauthorization: Bearer k\r\nx-sim-fault: fin-at={place}\r\ncontent-length: {len(body)}\r\n\r\n{body}".encode())
            assert len(received.read()) == place


def test_too_long_an_answer_cannot_have_a_fault(provider):
    answer = raw_post(provider, "/v1/chat/completions", {"model": MODEL, "messages": HELLO}, x_sim_fault="crlf", x_sim_tokens="70000")
    assert answer.status == 400 and "65536" in answer.json()["error"]["message"]


# Kept calls


def test_kept_calls_tell_what_came_and_how_it_ended(start):
    simulator = start("--record", "--record-max", "8", "--tokens", "10")
    client = openai.OpenAI(base_url=f"{simulator.url}/v1", api_key="k", max_retries=0)
    ask(client, extra_headers={"x-request-id": "first"})
    with pytest.raises(openai.APIConnectionError):
        list(ask(client, stream=True, extra_headers={"x-sim-fault": "reset-after=3"}))
    with pytest.raises(openai.APITimeoutError):
        list(ask(client, stream=True, timeout=0.2, extra_headers={"x-sim-fault": "stall=4"}))
    with pytest.raises(openai.RateLimitError):
        ask(client, model="limited", extra_headers={"x-sim-error": "429"})

    def ended():
        found = simulator.calls()["calls"]
        return found if len(found) == 4 and all(call["ended_at_ms"] for call in found) else None

    whole, reset, stalled, limited = wait_until(ended, 5, "all calls have ended")
    assert (whole["end"], whole["status"], whole["faults"], whole["stalled"]) == ("complete", 200, [], False)
    assert whole["bytes_sent"] > 500 and whole["body_is_whole"] and whole["body_bytes"] == len(whole["body"]) and whole["model"] == MODEL
    assert whole["received_at_ms"] <= whole["first_byte_at_ms"] <= whole["ended_at_ms"]
    assert (reset["end"], reset["frames_sent"], reset["faults"]) == ("reset", 3, ["reset-after=3"])
    assert (stalled["end"], stalled["frames_sent"], stalled["stalled"]) == ("client_closed", 4, True)
    assert stalled["ended_at_ms"] - stalled["first_byte_at_ms"] >= 100
    assert (limited["status"], limited["end"], limited["model"]) == (429, "complete", "limited")

    def numbers(query):
        return [call["number"] for call in http_request(simulator.port, "GET", f"/sim/calls?{query}").json()["calls"]]

    assert numbers("end=reset") == [2] and numbers("fault=stall") == [3] and numbers("fault=stall%3D4") == [3] and numbers("model=lim*") == [4]
    assert numbers("status=200&since=1&limit=1") == [3] and numbers("request_id=first") == [1] and numbers("path=/v1/chat/*") == [1, 2, 3, 4]
    assert http_request(simulator.port, "GET", "/sim/calls?colour=red").status == 400
    for _ in range(12):
        ask(client)
    kept = simulator.calls()
    assert len(kept["calls"]) == 8 and kept["calls"][-1]["number"] == 16 and kept["forgotten"] > 0


def test_the_first_rule_that_means_a_call_decides(scripted):
    simulator, client = scripted("""
rules:
  - { name: by-key, match: { key: "sk-1*" }, then: { tokens: 1 } }
  - { name: by-header, match: { headers: { X-Tenant: "ac*" } }, then: { tokens: 1 } }
  - { name: streams, match: { stream: true, path: "/v1/chat/*" }, then: { tokens: 1 } }
  - { name: third, match: { model: "gpt-*", calls: [3, 5-6] }, then: { tokens: 1 } }
  - { name: even, match: { model: "gpt-*", every: 2 }, then: { tokens: 1 } }
  - { name: later, match: { after: 1h }, then: { tokens: 1 } }
  - { name: rest, match: { until: 1h }, then: { tokens: 1 } }
""", "--record")

    def rules():
        return [call["rule"] for call in simulator.calls()["calls"]]

    ask(client.with_options(api_key="sk-12"))
    ask(client, extra_headers={"x-tenant": "acme"})
    list(ask(client, stream=True))
    client.completions.create(model="other", prompt="x")
    # `even` counts only what the rules before it left.
    for _ in range(8):
        ask(client)
    assert rules()[:4] == ["by-key", "by-header", "streams", "rest"]
    assert rules()[4:] == ["rest", "even", "third", "rest", "third", "third", "even", "rest"]
    http_request(simulator.port, "POST", "/sim/reset", body=b"")
    for _ in range(3):
        ask(client)
    assert rules() == ["rest", "even", "third"], "a reset begins the script anew"


def test_a_probability_draws_the_same_calls_for_the_same_seed(scripted):
    def fates(seed):
        simulator, _ = scripted(f"{{ seed: {seed}, rules: [{{ match: {{ probability: 0.3 }}, then: {{ error: 503 }} }}] }}")
        return [raw_post(simulator, "/v1/chat/completions", {"model": MODEL, "messages": HELLO}).status for _ in range(60)]

    first = fates(1)
    assert first == fates(1) != fates(2) and 5 < first.count(503) < 35


def test_a_gzip_that_nobody_asked_for_is_a_real_one(provider):
    answer = raw_post(provider, "/v1/chat/completions", {"model": MODEL, "messages": HELLO}, x_sim_fault="gzip")
    assert answer.headers["content-encoding"] == "gzip" and json.loads(gzip.decompress(answer.body))["choices"]


def test_the_frame_of_an_answer_can_be_spoiled_alone(provider):
    """Only what the name says changes."""
    body = json.dumps({"model": MODEL, "messages": HELLO})

    def sent(fault):
        with socket.create_connection(("127.0.0.1", provider.port)) as connection, connection.makefile("rb") as received:
            connection.sendall(f"POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\nconnection: close\r\nauthorization: Bearer k\r\nx-sim-fault: {fault}\r\ncontent-length: {len(body)}\r\n\r\n{body}".encode())
            head, _, rest = received.read().partition(b"\r\n\r\n" if fault != "bare-line-feeds" else b"\n\n")
        return head, rest

    head, rest = sent("one-write")
    length = len(rest)
    assert f"content-length: {length}".encode() in head and json.loads(rest)["choices"]
    assert sent("two-lengths")[0].count(b"content-length: ") == 2
    assert f"content-length: {length + 100}".encode() in sent("length-long")[0]
    assert b"\r" not in sent("bare-line-feeds")[0]
    assert sent("trailers")[1].endswith(b"0\r\nx-checksum: 0123456789abcdef\r\nx-late: yes\r\n\r\n")
    assert b";name=value;flag\r\n" in sent("chunk-extensions")[1]
    assert sent("no-content")[0].startswith(b"HTTP/1.1 204 ") and sent("no-content")[1] == b""
    assert sent("interim")[0] == b"HTTP/1.1 100 Continue" and b"\r\n\r\nHTTP/1.1 200 OK\r\n" in sent("interim")[1]

"""The official OpenAI client, unmodified, through Martlet: chat."""

import decimal
import json

import openai
import pydantic
import pytest

MODEL = "gpt-4o-mini"
MESSAGES = [{"role": "user", "content": "Why do swifts never land?"}]
WEATHER = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "description": "The weather of a city.",
        "parameters": {
            "type": "object",
            "properties": {"city": {"type": "string"}},
            "required": ["city"],
            "additionalProperties": False,
        },
        "strict": True,
    },
}
CLOCK = {
    "type": "function",
    "function": {
        "name": "get_time",
        "parameters": {
            "type": "object",
            "properties": {"zone": {"type": "string"}},
            "required": ["zone"],
            "additionalProperties": False,
        },
        "strict": True,
    },
}


class Bird(pydantic.BaseModel):
    name: str
    wingspan_cm: int
    migratory: bool


def test_a_plain_chat_is_answered_and_charged_to_the_last_digit(client, check_row, request_id):
    answer = client.chat.completions.create(model=MODEL, messages=MESSAGES, extra_headers={"x-request-id": request_id})
    assert answer.object == "chat.completion"
    assert answer.choices[0].message.role == "assistant"
    assert answer.choices[0].message.content
    assert answer.choices[0].finish_reason in ("stop", "length")
    assert answer.usage.total_tokens == answer.usage.prompt_tokens + answer.usage.completion_tokens
    assert answer._request_id == request_id
    row = check_row(request_id, MODEL, answer.usage)
    assert decimal.Decimal(row["cost_usd"]) > 0


def test_a_stream_without_include_usage_shows_no_usage_chunk_but_is_metered(client, gateway, request_id):
    stream = client.chat.completions.create(
        model=MODEL, messages=MESSAGES, stream=True, extra_headers={"x-request-id": request_id, "x-sim-tokens": "9"}
    )
    chunks = list(stream)
    assert all(len(chunk.choices) == 1 for chunk in chunks), "a chunk without choices crashes clients that did not ask for usage"
    assert all(chunk.usage is None for chunk in chunks)
    assert chunks[0].choices[0].delta.role == "assistant"
    assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks)
    assert chunks[-1].choices[0].finish_reason
    row = gateway.row(request_id)
    assert row["outcome"] == "success" and row["stream"] is True and row["estimated"] is False
    assert row["output_tokens"] == 9
    expected = (row["input_tokens"] * decimal.Decimal("0.15") + 9 * decimal.Decimal("0.60")) / 1_000_000
    assert decimal.Decimal(row["cost_usd"]) == expected.quantize(decimal.Decimal("1e-9"), rounding=decimal.ROUND_HALF_UP)


def test_a_stream_with_include_usage_ends_with_exactly_one_usage_chunk(client, check_row, request_id):
    stream = client.chat.completions.create(
        model=MODEL, messages=MESSAGES, stream=True, stream_options={"include_usage": True}, extra_headers={"x-request-id": request_id}
    )
    chunks = list(stream)
    assert [bool(chunk.choices) for chunk in chunks] == [True] * (len(chunks) - 1) + [False]
    assert [chunk.usage is not None for chunk in chunks] == [False] * (len(chunks) - 1) + [True]
    assert "usage" in chunks[0].model_fields_set, "every chunk carries usage: null when it was asked for"
    check_row(request_id, MODEL, chunks[-1].usage, streamed=True)


def test_a_stream_that_declines_usage_is_metered_without_showing_it(client, gateway, request_id):
    stream = client.chat.completions.create(
        model=MODEL, messages=MESSAGES, stream=True, stream_options={"include_usage": False}, extra_headers={"x-request-id": request_id}
    )
    assert all(chunk.choices and chunk.usage is None for chunk in stream)
    assert gateway.row(request_id)["output_tokens"] == 12


def test_the_cost_event_of_a_stream_comes_when_it_is_asked_for(client, gateway, request_id):
    stream = client.chat.completions.create(
        model=MODEL, messages=MESSAGES, stream=True, extra_headers={"x-request-id": request_id, "x-martlet-stream-cost": "true"}
    )
    chunks = list(stream)
    assert chunks[-1].choices == []
    told = chunks[-1].model_extra["martlet"]
    row = gateway.row(request_id)
    assert decimal.Decimal(str(told["cost_usd"])) == decimal.Decimal(row["cost_usd"])
    assert all(len(chunk.choices) == 1 for chunk in chunks[:-1])


def test_the_stream_helper_accumulates_events_to_the_whole_answer(client, check_row, request_id):
    with client.chat.completions.stream(
        model=MODEL, messages=MESSAGES, stream_options={"include_usage": True}, extra_headers={"x-request-id": request_id}
    ) as stream:
        deltas = "".join(event.delta for event in stream if event.type == "content.delta")
        final = stream.get_final_completion()
    assert final.choices[0].message.content == deltas != ""
    check_row(request_id, MODEL, final.usage, streamed=True)


def test_streamed_and_plain_answers_of_one_seed_are_the_same_text(client):
    plain = client.chat.completions.create(model=MODEL, messages=MESSAGES, extra_headers={"x-sim-seed": "7"})
    stream = client.chat.completions.create(model=MODEL, messages=MESSAGES, stream=True, extra_headers={"x-sim-seed": "7"})
    assert "".join(chunk.choices[0].delta.content or "" for chunk in stream) == plain.choices[0].message.content


def test_a_tool_call_comes_with_arguments_that_parse(client, check_row, request_id):
    answer = client.chat.completions.create(
        model=MODEL, messages=MESSAGES, tools=[WEATHER], tool_choice="required", extra_headers={"x-request-id": request_id}
    )
    choice = answer.choices[0]
    assert choice.finish_reason in ("tool_calls", "stop")
    call = choice.message.tool_calls[0]
    assert call.id and call.type == "function" and call.function.name == "get_weather"
    assert "city" in json.loads(call.function.arguments)
    check_row(request_id, MODEL, answer.usage)
    followed = client.chat.completions.create(
        model=MODEL,
        messages=[*MESSAGES, choice.message.model_dump(exclude_none=True), {"role": "tool", "tool_call_id": call.id, "content": "sunny"}],
        tools=[WEATHER],
    )
    assert followed.choices[0].message.content


def test_parallel_tool_calls_keep_their_order_and_ids(client):
    answer = client.chat.completions.create(model=MODEL, messages=MESSAGES, tools=[WEATHER, CLOCK], tool_choice="required", parallel_tool_calls=True)
    calls = answer.choices[0].message.tool_calls
    assert [call.function.name for call in calls] == ["get_weather", "get_time"]
    assert len({call.id for call in calls}) == 2


def test_streamed_parallel_tool_calls_are_put_together_by_the_stream_helper(client, gateway, request_id):
    with client.chat.completions.stream(
        model=MODEL, messages=MESSAGES, tools=[WEATHER, CLOCK], tool_choice="required", extra_headers={"x-request-id": request_id}
    ) as stream:
        finished = [event for event in stream if event.type == "tool_calls.function.arguments.done"]
        final = stream.get_final_completion()
    assert [event.name for event in finished] == ["get_weather", "get_time"]
    calls = final.choices[0].message.tool_calls
    assert set(json.loads(calls[0].function.arguments)) == {"city"} and set(json.loads(calls[1].function.arguments)) == {"zone"}
    assert gateway.row(request_id)["outcome"] == "success"


def test_a_json_schema_is_honoured_and_parsed(client, check_row, request_id):
    answer = client.chat.completions.parse(
        model=MODEL, messages=MESSAGES, response_format=Bird, extra_headers={"x-request-id": request_id, "x-sim-tokens": "200"}
    )
    assert isinstance(answer.choices[0].message.parsed, Bird)
    check_row(request_id, MODEL, answer.usage)


def test_json_mode_gives_an_object(client):
    answer = client.chat.completions.create(
        model=MODEL, messages=[{"role": "user", "content": "Answer in JSON."}], response_format={"type": "json_object"}
    )
    assert isinstance(json.loads(answer.choices[0].message.content), dict)


@pytest.mark.parametrize("streamed", [False, True])
def test_logprobs_pass_through(client, streamed):
    arguments = {"model": MODEL, "messages": MESSAGES, "logprobs": True, "top_logprobs": 2}
    if streamed:
        tokens = [
            token
            for chunk in client.chat.completions.create(stream=True, **arguments)
            if chunk.choices[0].logprobs
            for token in chunk.choices[0].logprobs.content or []
        ]
    else:
        tokens = client.chat.completions.create(**arguments).choices[0].logprobs.content
    assert len(tokens) == 12
    assert all(token.logprob <= 0 and len(token.top_logprobs) == 2 for token in tokens)


def test_several_choices_are_all_charged(client, check_row, request_id):
    answer = client.chat.completions.create(model=MODEL, messages=MESSAGES, n=3, extra_headers={"x-request-id": request_id})
    assert [choice.index for choice in answer.choices] == [0, 1, 2]
    assert answer.usage.completion_tokens == 36
    check_row(request_id, MODEL, answer.usage)


def test_several_streamed_choices_all_finish(client, gateway, request_id):
    stream = client.chat.completions.create(model=MODEL, messages=MESSAGES, n=3, stream=True, extra_headers={"x-request-id": request_id})
    finished = [choice.index for chunk in stream for choice in chunk.choices if choice.finish_reason]
    assert sorted(finished) == [0, 1, 2]
    assert gateway.row(request_id)["output_tokens"] == 36


def test_cached_and_reasoning_tokens_have_their_own_prices(client, check_row, request_id):
    headers = {
        "x-request-id": request_id, "x-sim-prompt-tokens": "1001", "x-sim-cached-tokens": "333", "x-sim-tokens": "77", "x-sim-reasoning-tokens": "51",
    }  # fmt: skip
    answer = client.chat.completions.create(model="house/reasoner:v1", messages=MESSAGES, extra_headers=headers)
    assert answer.usage.prompt_tokens_details.cached_tokens == 333
    assert answer.usage.completion_tokens_details.reasoning_tokens == 51
    row = check_row(request_id, "house/reasoner:v1", answer.usage, served="gpt-4o")
    assert row["cached_input_tokens"] == 333 and row["reasoning_tokens"] == 51


def test_a_model_without_a_price_is_charged_conservatively_and_flagged(client, check_row, request_id):
    answer = client.chat.completions.create(model="no-price", messages=MESSAGES, extra_headers={"x-request-id": request_id})
    row = check_row(request_id, "no-price", answer.usage, served="gpt-4o-mini")
    assert row["price_known"] is False


@pytest.mark.parametrize("streamed", [False, True])
def test_an_answer_without_usage_is_estimated_and_says_so(client, gateway, request_id, streamed):
    headers = {"x-request-id": request_id, "x-sim-no-usage": "1", "x-sim-tokens": "40"}
    answer = client.chat.completions.create(model=MODEL, messages=MESSAGES, stream=streamed, extra_headers=headers)
    if streamed:
        assert len(list(answer)) > 40
    row = gateway.row(request_id)
    assert row["outcome"] == "success"
    assert row["estimated"] is True
    assert row["input_tokens"] > 0 and row["output_tokens"] > 0
    assert decimal.Decimal(row["cost_usd"]) > 0


def test_a_stream_that_the_provider_breaks_off_raises_and_is_recorded(client, gateway, request_id):
    headers = {"x-request-id": request_id, "x-sim-tokens": "40", "x-sim-cut-after": "5"}
    stream = client.chat.completions.create(model=MODEL, messages=MESSAGES, stream=True, extra_headers=headers)
    received = []
    with pytest.raises(openai.APIError):
        for chunk in stream:
            received.append(chunk)
    assert received
    row = gateway.row(request_id)
    assert row["outcome"] == "stream_cut"
    assert row["error_code"] == "stream_interrupted"
    assert row["estimated"] is True and row["output_tokens"] > 0


def test_fields_known_and_unknown_reach_the_provider_untouched(client, simulator, request_id):
    content = [
        {"type": "text", "text": "What is this? \u00e9\u4e16\U0001f426"},
        {"type": "image_url", "image_url": {"url": "data:image/png;base64,iVBORw0KGgo=", "detail": "low"}},
    ]
    client.chat.completions.create(
        model=MODEL,
        messages=[{"role": "user", "content": content}],
        metadata={"purpose": "test"},
        extra_body={"never_heard_of": {"nested": [1, 2.50, None]}, "reasoning_effort": "low"},
        extra_headers={"x-request-id": request_id, "x-sim-record": "1"},
    )
    body = recorded_body(simulator, request_id)
    assert body["messages"][0]["content"] == content
    assert body["never_heard_of"] == {"nested": [1, 2.5, None]}
    assert body["metadata"] == {"purpose": "test"} and body["reasoning_effort"] == "low"
    assert "stream_options" not in body


def test_a_public_name_is_replaced_by_the_provider_s_own(client, simulator, request_id):
    headers = {"x-request-id": request_id, "x-sim-record": "1"}
    list(client.chat.completions.create(model="house/reasoner:v1", messages=MESSAGES, stream=True, extra_headers=headers))
    body = recorded_body(simulator, request_id)
    assert body["model"] == "gpt-4o"
    assert body["stream_options"] == {"include_usage": True}
    assert body["messages"] == MESSAGES


def recorded_body(simulator, request_id):
    found = [call for call in simulator.calls()["calls"] if ["x-request-id", request_id] in call["headers"]]
    assert len(found) == 1, f"the provider saw {len(found)} calls of that id"
    return json.loads(found[0]["body"])

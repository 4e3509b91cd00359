"""The official OpenAI client, unmodified, through Martlet: text, embeddings, models, headers, errors, retries, concurrency."""

import asyncio
import decimal
import time

import openai
import pytest

MODEL = "gpt-4o-mini"
MESSAGES = [{"role": "user", "content": "Why do swifts never land?"}]


def test_a_text_completion_is_answered_and_charged(client, check_row, request_id):
    answer = client.completions.create(model="gpt-3.5-turbo-instruct", prompt="Once upon a time", extra_headers={"x-request-id": request_id})
    assert answer.object == "text_completion" and answer.choices[0].text
    check_row(request_id, "gpt-3.5-turbo-instruct", answer.usage, endpoint="completions")


def test_a_streamed_text_completion_is_metered(client, gateway, request_id):
    stream = client.completions.create(
        model="gpt-3.5-turbo-instruct", prompt="Once upon a time", stream=True, extra_headers={"x-request-id": request_id}
    )
    chunks = list(stream)
    assert all(chunk.choices for chunk in chunks)
    assert "".join(chunk.choices[0].text for chunk in chunks)
    row = gateway.row(request_id)
    assert row["endpoint"] == "completions" and row["output_tokens"] == 12 and row["estimated"] is False


def test_embeddings_come_in_the_client_s_default_base64(client, check_row, request_id):
    answer = client.embeddings.create(model="text-embedding-3-small", input=["a swift", "a martlet"], extra_headers={"x-request-id": request_id})
    assert [item.index for item in answer.data] == [0, 1]
    assert all(isinstance(value, float) for value in answer.data[0].embedding)
    assert len(answer.data[0].embedding) == 1536
    row = check_row(request_id, "text-embedding-3-small", answer.usage, endpoint="embeddings")
    assert row["output_tokens"] == 0


def test_embeddings_as_floats_are_the_same_vector_and_dimensions_are_honoured(client):
    by_default = client.embeddings.create(model="text-embedding-3-small", input="a swift", dimensions=64)
    as_floats = client.embeddings.create(model="text-embedding-3-small", input="a swift", dimensions=64, encoding_format="float")
    assert len(by_default.data[0].embedding) == len(as_floats.data[0].embedding) == 64
    assert by_default.data[0].embedding == pytest.approx(as_floats.data[0].embedding, abs=1e-6)


def test_models_are_listed_and_found_even_with_slash_and_colon(client):
    listed = [model.id for model in client.models.list()]
    assert sorted(listed) == sorted(["gpt-4o-mini", "gpt-3.5-turbo-instruct", "text-embedding-3-small", "house/reasoner:v1", "no-price"])
    assert client.models.retrieve("gpt-4o-mini").object == "model"
    assert client.models.retrieve("house/reasoner:v1").id == "house/reasoner:v1"
    with pytest.raises(openai.NotFoundError) as caught:
        client.models.retrieve("nothing/like:this")
    assert caught.value.code == "model_not_found"


@pytest.mark.parametrize(
    ("status", "error"),
    [
        (400, openai.BadRequestError),
        (401, openai.AuthenticationError),
        (403, openai.PermissionDeniedError),
        (404, openai.NotFoundError),
        (409, openai.ConflictError),
        (422, openai.UnprocessableEntityError),
        (429, openai.RateLimitError),
        (500, openai.InternalServerError),
        (502, openai.InternalServerError),
        (503, openai.InternalServerError),
    ],
)
@pytest.mark.parametrize("streamed", [False, True])
def test_a_provider_s_error_raises_the_client_s_own_class(client, gateway, request_id, status, error, streamed):
    headers = {"x-request-id": request_id, "x-sim-error": str(status), "x-sim-error-code": "told_by_the_test"}
    with pytest.raises(error) as caught:
        client.chat.completions.create(model=MODEL, messages=MESSAGES, stream=streamed, extra_headers=headers)
    assert caught.value.status_code == status
    assert caught.value.code == "told_by_the_test"
    assert caught.value.request_id == request_id
    row = gateway.row(request_id)
    assert row["outcome"] == "upstream_error" and row["status"] == status and row["output_tokens"] == 0
    assert decimal.Decimal(row["cost_usd"]) == 0


def test_a_wrong_key_raises_authentication_error(gateway):
    with openai.OpenAI(base_url=f"{gateway.url}/v1", api_key="mk_wrong", max_retries=0) as stranger:
        with pytest.raises(openai.AuthenticationError) as caught:
            stranger.chat.completions.create(model=MODEL, messages=MESSAGES)
    assert caught.value.code == "invalid_api_key"
    assert caught.value.request_id


def test_an_unknown_model_raises_not_found(client):
    with pytest.raises(openai.NotFoundError) as caught:
        client.chat.completions.create(model="gpt-99", messages=MESSAGES)
    assert caught.value.code == "model_not_found" and caught.value.param == "model"


def test_a_model_that_the_key_may_not_use_is_denied_and_not_listed(gateway):
    limited = gateway.create_key(name="limited", models=["gpt-4o*"])["key"]
    with openai.OpenAI(base_url=f"{gateway.url}/v1", api_key=limited, max_retries=0) as client:
        assert [model.id for model in client.models.list()] == ["gpt-4o-mini"]
        assert client.chat.completions.create(model=MODEL, messages=MESSAGES).choices
        with pytest.raises(openai.PermissionDeniedError) as caught:
            client.embeddings.create(model="text-embedding-3-small", input="x")
        assert caught.value.code == "model_not_allowed"


@pytest.mark.parametrize("status", [429, 503])
def test_the_client_retries_after_the_provider_s_retry_after(gateway, key, request_id, status):
    headers = {
        "x-request-id": request_id, "x-sim-scenario": request_id, "x-sim-fail-first": "2", "x-sim-error": str(status), "x-sim-retry-after": "1",
    }  # fmt: skip
    started = time.monotonic()
    with openai.OpenAI(base_url=f"{gateway.url}/v1", api_key=key, max_retries=2) as client:
        raw = client.chat.completions.with_raw_response.create(model=MODEL, messages=MESSAGES, extra_headers=headers)
    assert raw.parse().choices[0].message.content
    assert raw.retries_taken == 2
    assert time.monotonic() - started >= 2
    rows = gateway.rows(request_id=request_id)
    assert [row["outcome"] for row in rows] == ["success", "upstream_error", "upstream_error"]
    assert [row["status"] for row in rows] == [200, status, status]


def test_retry_after_reaches_a_client_that_does_not_retry(client):
    with pytest.raises(openai.RateLimitError) as caught:
        client.chat.completions.create(model=MODEL, messages=MESSAGES, extra_headers={"x-sim-error": "429", "x-sim-retry-after": "7"})
    assert caught.value.response.headers["retry-after"] == "7"


def test_raw_response_headers_tell_what_happened(client, gateway, request_id):
    raw = client.chat.completions.with_raw_response.create(model=MODEL, messages=MESSAGES, extra_headers={"x-request-id": request_id})
    usage = raw.parse().usage
    headers = raw.headers
    assert headers["x-request-id"] == request_id
    assert headers["x-martlet-provider"] == "sim"
    assert headers["x-martlet-model"] == MODEL
    assert headers["x-martlet-cache"]
    assert headers["x-martlet-attempts"] == "1"
    latency, overhead = float(headers["x-martlet-latency-ms"]), float(headers["x-martlet-overhead-ms"])
    assert 0 <= overhead <= latency < 10_000
    expected = (usage.prompt_tokens * decimal.Decimal("0.15") + usage.completion_tokens * decimal.Decimal("0.60")) / 1_000_000
    assert decimal.Decimal(headers["x-martlet-cost-usd"]) == expected.quantize(decimal.Decimal("1e-9"), rounding=decimal.ROUND_HALF_UP)
    assert decimal.Decimal(gateway.row(request_id)["cost_usd"]) == decimal.Decimal(headers["x-martlet-cost-usd"])


def test_a_streamed_raw_response_has_the_headers_that_are_known_at_its_start(client, request_id):
    with client.chat.completions.with_streaming_response.create(
        model=MODEL, messages=MESSAGES, stream=True, extra_headers={"x-request-id": request_id}
    ) as raw:
        assert raw.headers["x-request-id"] == request_id
        assert raw.headers["x-martlet-provider"] == "sim"
        assert raw.headers["content-type"].startswith("text/event-stream")
        assert "x-martlet-cost-usd" not in raw.headers
        assert raw.read().rstrip().endswith(b"data: [DONE]")


def test_every_call_has_a_request_id_even_when_none_was_sent(client, gateway):
    answer = client.chat.completions.create(model=MODEL, messages=MESSAGES)
    assert answer._request_id
    assert gateway.row(answer._request_id)["outcome"] == "success"


async def test_the_async_client_chats_streams_and_embeds(gateway, key, check_row, request_id):
    async with openai.AsyncOpenAI(base_url=f"{gateway.url}/v1", api_key=key, max_retries=0) as client:
        plain = await client.chat.completions.create(model=MODEL, messages=MESSAGES, extra_headers={"x-request-id": request_id})
        assert plain.choices[0].message.content
        stream = await client.chat.completions.create(model=MODEL, messages=MESSAGES, stream=True)
        assert "".join([chunk.choices[0].delta.content or "" async for chunk in stream])
        async with client.chat.completions.stream(model=MODEL, messages=MESSAGES) as helper:
            final = await helper.get_final_completion()
        assert final.choices[0].message.content
        assert (await client.embeddings.create(model="text-embedding-3-small", input="x")).data[0].embedding
        assert [model.id async for model in client.models.list()]
    check_row(request_id, MODEL, plain.usage)


async def test_two_hundred_calls_at_once_all_succeed_and_are_all_recorded(gateway, key):
    count = 200
    async with openai.AsyncOpenAI(base_url=f"{gateway.url}/v1", api_key=key, max_retries=0, timeout=60) as client:

        async def call(number):
            headers = {"x-request-id": f"crowd-{number}", "x-sim-token-ms": "10"}
            if number % 2:
                stream = await client.chat.completions.create(model=MODEL, messages=MESSAGES, stream=True, extra_headers=headers)
                return "".join([chunk.choices[0].delta.content or "" async for chunk in stream])
            answer = await client.chat.completions.create(model=MODEL, messages=MESSAGES, extra_headers=headers)
            return answer.choices[0].message.content

        answers = await asyncio.gather(*(call(number) for number in range(count)))
    assert all(answers)
    ids = [identifier for identifier in gateway.request_ids() if identifier.startswith("crowd-")]
    assert sorted(ids) == sorted(f"crowd-{number}" for number in range(count))

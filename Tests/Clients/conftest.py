import decimal
import itertools

import openai
import pytest

from processes import PRICES

_numbers = itertools.count()


@pytest.fixture
def client(gateway, key):
    with openai.OpenAI(base_url=f"{gateway.url}/v1", api_key=key, max_retries=0, timeout=30) as made:
        yield made


@pytest.fixture
def request_id(request):
    """An id that no other call has."""
    return f"{request.node.name.split('[')[0]}-{next(_numbers)}"


def exact_cost(model, prompt=0, completion=0, cached=0, reasoning=0):
    """Dollars, rounded half up once to a nano-dollar: what the bill must say to the last digit."""
    price = {kind: decimal.Decimal(text) for kind, text in PRICES[model].items()}
    total = (
        (prompt - cached) * price["input"]
        + cached * price.get("cached_input", price["input"])
        + (completion - reasoning) * price["output"]
        + reasoning * price.get("reasoning", price["output"])
    ) / 1_000_000
    return total.quantize(decimal.Decimal("1e-9"), rounding=decimal.ROUND_HALF_UP)


@pytest.fixture
def check_row(gateway):
    """Checks the usage row of a call against the usage that its provider reported."""

    def check(request_id, model, usage, *, streamed=False, endpoint="chat.completions", served=None):
        row = gateway.row(request_id)
        cached = reasoning = 0
        if usage is not None:
            if details := getattr(usage, "prompt_tokens_details", None):
                cached = details.cached_tokens or 0
            if details := getattr(usage, "completion_tokens_details", None):
                reasoning = details.reasoning_tokens or 0
            completion = getattr(usage, "completion_tokens", 0) or 0
            assert row["input_tokens"] == usage.prompt_tokens
            assert row["output_tokens"] == completion
            assert row["cached_input_tokens"] == cached
            assert row["reasoning_tokens"] == reasoning
            assert row["estimated"] is False
            assert decimal.Decimal(row["cost_usd"]) == exact_cost(model, usage.prompt_tokens, completion, cached, reasoning)
        assert row["request_id"] == request_id
        assert row["outcome"] == "success"
        assert row["status"] == 200
        assert row["requested_model"] == model
        assert row["served_model"] == (served or model)
        assert row["provider"] == "sim"
        assert row["endpoint"] == endpoint
        assert row["stream"] is streamed
        assert row["attempts"] == 1
        return row

    return check

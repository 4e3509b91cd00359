"""Every fault of the simulator, plain and streamed: what the client gets, what the usage log says, and which metrics move, as one table.

The table is the promise; `Docs/faults.md` has the rules behind it in words. Each row is one fault of `martlet simulate --list-faults` in one form:

- *client*: the status, then for a plain answer its finish_reason or the code of the error; for a stream the number of content deltas, then the
  finish_reason, `done` for [DONE], `error CODE` for an error event, `broken` for a connection that ends in the middle, `+N` for further events.
- *SDK*: the class that OpenAI's client raises, `-` when it raises nothing.
- *outcome*, *code*: of the usage row; its status is the client's. Both are counted: requests under that outcome, and errors unless it is success.
- *tokens*: input/output of the usage row, `~` for an estimate; also what the token counters move by, and their price what the cost moves by.
- a `*` stands for a number that depends on how fast the machine is;
- *tries*: attempts at the provider; the second one follows a reused connection that ended without a byte (`martlet_stale_connections_total`).
"""

import decimal
import itertools
import json
import re

import openai
import pytest
from prometheus_client.parser import text_string_to_metric_families

from processes import ADMIN_KEY, PRICES, Gateway, Simulator, http_request, run_cli, wait_until
from rawhttp import RawConnection, post

MODEL = "gpt-4o-mini"
CHAT = "/v1/chat/completions"
BODY = {"model": MODEL, "messages": [{"role": "user", "content": "Tell me about swifts."}]}
CONFIGURATION = """
server: { host: 127.0.0.1, port: %(port)d, loops: 1, total_timeout: 2s }
data: ./data
providers:
  - id: sim
    kind: openai
    base_url: "%(simulator)s/v1"
    api_key: "env://SIM_KEY"
    timeouts: { first_byte: 600ms, idle: 600ms, connect: 2s }
models:
  - name: gpt-4o-mini
    deployments: [{ provider: sim, model: gpt-4o-mini }]
    price: { input: 0.15, output: 0.60, cached_input: 0.075 }
  - name: by-script
    deployments: [{ provider: sim }]
  - name: with-second-choice
    deployments: [{ provider: sim, model: first-choice }, { provider: sim, model: gpt-4o-mini }]
"""

TABLE = """
fault              | form     | client                            | SDK                      | outcome        | code                      | tokens | tries

# Errors that the provider owns up to: passed on, status and body; what is no OpenAI error gets our shape. They cost nothing.
status-400         | plain    | 400 None                          | BadRequestError          | upstream_error | upstream_error            | 0/0    | 1
status-400         | streamed | 400 None                          | BadRequestError          | upstream_error | upstream_error            | 0/0    | 1
status-401         | plain    | 401 invalid_api_key               | AuthenticationError      | upstream_error | upstream_error            | 0/0    | 1
status-401         | streamed | 401 invalid_api_key               | AuthenticationError      | upstream_error | upstream_error            | 0/0    | 1
status-402         | plain    | 402 billing_not_active            | APIStatusError           | upstream_error | upstream_error            | 0/0    | 1
status-402         | streamed | 402 billing_not_active            | APIStatusError           | upstream_error | upstream_error            | 0/0    | 1
status-403         | plain    | 403 permission_denied             | PermissionDeniedError    | upstream_error | upstream_error            | 0/0    | 1
status-403         | streamed | 403 permission_denied             | PermissionDeniedError    | upstream_error | upstream_error            | 0/0    | 1
status-404         | plain    | 404 model_not_found               | NotFoundError            | upstream_error | upstream_error            | 0/0    | 1
status-404         | streamed | 404 model_not_found               | NotFoundError            | upstream_error | upstream_error            | 0/0    | 1
status-408         | plain    | 408 request_timeout               | APIStatusError           | upstream_error | upstream_error            | 0/0    | 1
status-408         | streamed | 408 request_timeout               | APIStatusError           | upstream_error | upstream_error            | 0/0    | 1
status-409         | plain    | 409 conflict                      | ConflictError            | upstream_error | upstream_error            | 0/0    | 1
status-409         | streamed | 409 conflict                      | ConflictError            | upstream_error | upstream_error            | 0/0    | 1
status-413         | plain    | 413 request_too_large             | APIStatusError           | upstream_error | upstream_error            | 0/0    | 1
status-413         | streamed | 413 request_too_large             | APIStatusError           | upstream_error | upstream_error            | 0/0    | 1
status-422         | plain    | 422 unprocessable_entity          | UnprocessableEntityError | upstream_error | upstream_error            | 0/0    | 1
status-422         | streamed | 422 unprocessable_entity          | UnprocessableEntityError | upstream_error | upstream_error            | 0/0    | 1
status-429         | plain    | 429 rate_limit_exceeded           | RateLimitError           | upstream_error | upstream_error            | 0/0    | 1
status-429         | streamed | 429 rate_limit_exceeded           | RateLimitError           | upstream_error | upstream_error            | 0/0    | 1
status-500         | plain    | 500 internal_error                | InternalServerError      | upstream_error | upstream_error            | 0/0    | 1
status-500         | streamed | 500 internal_error                | InternalServerError      | upstream_error | upstream_error            | 0/0    | 1
status-502         | plain    | 502 bad_gateway                   | InternalServerError      | upstream_error | upstream_error            | 0/0    | 1
status-502         | streamed | 502 bad_gateway                   | InternalServerError      | upstream_error | upstream_error            | 0/0    | 1
status-503         | plain    | 503 service_unavailable           | InternalServerError      | upstream_error | upstream_error            | 0/0    | 1
status-503         | streamed | 503 service_unavailable           | InternalServerError      | upstream_error | upstream_error            | 0/0    | 1
status-504         | plain    | 504 gateway_timeout               | InternalServerError      | upstream_error | upstream_error            | 0/0    | 1
status-504         | streamed | 504 gateway_timeout               | InternalServerError      | upstream_error | upstream_error            | 0/0    | 1
status-529         | plain    | 529 overloaded                    | InternalServerError      | upstream_error | upstream_error            | 0/0    | 1
status-529         | streamed | 529 overloaded                    | InternalServerError      | upstream_error | upstream_error            | 0/0    | 1
rate-limit-ms      | plain    | 429 rate_limit_exceeded           | RateLimitError           | upstream_error | upstream_error            | 0/0    | 1
rate-limit-ms      | streamed | 429 rate_limit_exceeded           | RateLimitError           | upstream_error | upstream_error            | 0/0    | 1
rate-limit-no-hint | plain    | 429 rate_limit_exceeded           | RateLimitError           | upstream_error | upstream_error            | 0/0    | 1
rate-limit-no-hint | streamed | 429 rate_limit_exceeded           | RateLimitError           | upstream_error | upstream_error            | 0/0    | 1
quota              | plain    | 429 insufficient_quota            | RateLimitError           | upstream_error | upstream_error            | 0/0    | 1
quota              | streamed | 429 insufficient_quota            | RateLimitError           | upstream_error | upstream_error            | 0/0    | 1
context-length     | plain    | 400 context_length_exceeded       | BadRequestError          | upstream_error | upstream_error            | 0/0    | 1
context-length     | streamed | 400 context_length_exceeded       | BadRequestError          | upstream_error | upstream_error            | 0/0    | 1
html-error         | plain    | 502 upstream_error                | InternalServerError      | upstream_error | upstream_error            | 0/0    | 1
html-error         | streamed | 502 upstream_error                | InternalServerError      | upstream_error | upstream_error            | 0/0    | 1
text-error         | plain    | 500 upstream_error                | InternalServerError      | upstream_error | upstream_error            | 0/0    | 1
text-error         | streamed | 500 upstream_error                | InternalServerError      | upstream_error | upstream_error            | 0/0    | 1
empty-error        | plain    | 503 upstream_error                | InternalServerError      | upstream_error | upstream_error            | 0/0    | 1
empty-error        | streamed | 503 upstream_error                | InternalServerError      | upstream_error | upstream_error            | 0/0    | 1
error-string       | plain    | 400 string                        | BadRequestError          | upstream_error | upstream_error            | 0/0    | 1
error-string       | streamed | 400 string                        | BadRequestError          | upstream_error | upstream_error            | 0/0    | 1
flap               | plain    | 503 service_unavailable           | InternalServerError      | upstream_error | upstream_error            | 0/0    | 1
flap               | streamed | 503 service_unavailable           | InternalServerError      | upstream_error | upstream_error            | 0/0    | 1

# Answers that are not what their head says. An error under a 200 is a 502 with the provider's words; anything else is a 502 of ours.
error-200          | plain    | 502 internal_error                | InternalServerError      | upstream_error | upstream_error            | 0/0    | 1
error-200          | streamed | 502 internal_error                | InternalServerError      | upstream_error | upstream_error            | 0/0    | 1
error-200-json     | plain    | 502 internal_error                | InternalServerError      | upstream_error | upstream_error            | 0/0    | 1
error-200-json     | streamed | 502 internal_error                | InternalServerError      | upstream_error | upstream_error            | 0/0    | 1
error-event        | plain    | 200 stop                          | -                        | success        | -                         | 13/6   | 1
error-event        | streamed | 200 2 error internal_error        | APIError                 | upstream_error | stream_interrupted        | ~27/3  | 1
html-200           | plain    | 502 upstream_invalid_response     | InternalServerError      | upstream_error | upstream_invalid_response | 0/0    | 1
html-200           | streamed | 502 upstream_invalid_response     | InternalServerError      | upstream_error | upstream_invalid_response | 0/0    | 1
wrong-type         | plain    | 502 upstream_invalid_response     | InternalServerError      | upstream_error | upstream_invalid_response | 0/0    | 1
wrong-type         | streamed | 502 upstream_invalid_response     | InternalServerError      | upstream_error | upstream_invalid_response | 0/0    | 1
no-type            | plain    | 502 upstream_invalid_response     | InternalServerError      | upstream_error | upstream_invalid_response | 0/0    | 1
no-type            | streamed | 502 upstream_invalid_response     | InternalServerError      | upstream_error | upstream_invalid_response | 0/0    | 1
json-for-stream    | plain    | 200 stop                          | -                        | success        | -                         | 13/6   | 1
json-for-stream    | streamed | 502 upstream_invalid_response     | InternalServerError      | upstream_error | upstream_invalid_response | 13/6   | 1
stream-for-plain   | plain    | 502 upstream_invalid_response     | InternalServerError      | upstream_error | upstream_invalid_response | 0/0    | 1
stream-for-plain   | streamed | 200 6 stop done                   | -                        | success        | -                         | 13/6   | 1
empty-body         | plain    | 502 upstream_invalid_response     | InternalServerError      | upstream_error | upstream_invalid_response | ~23/0  | 1
empty-body         | streamed | 502 upstream_invalid_response     | InternalServerError      | upstream_error | upstream_invalid_response | ~27/0  | 1
empty-stream       | plain    | 502 upstream_invalid_response     | InternalServerError      | upstream_error | upstream_invalid_response | ~23/0  | 1
empty-stream       | streamed | 502 upstream_invalid_response     | InternalServerError      | upstream_error | upstream_invalid_response | ~27/0  | 1
empty-object       | plain    | 502 upstream_invalid_response     | InternalServerError      | upstream_error | upstream_invalid_response | ~23/0  | 1
empty-object       | streamed | 200 0 error stream_interrupted +9 | APIError                 | stream_cut     | stream_interrupted        | ~27/0  | 1
no-content         | plain    | 502 upstream_invalid_response     | InternalServerError      | upstream_error | upstream_invalid_response | 0/0    | 1
no-content         | streamed | 502 upstream_invalid_response     | InternalServerError      | upstream_error | upstream_invalid_response | 0/0    | 1
redirect           | plain    | 502 upstream_invalid_response     | InternalServerError      | upstream_error | upstream_invalid_response | 0/0    | 1
redirect           | streamed | 502 upstream_invalid_response     | InternalServerError      | upstream_error | upstream_invalid_response | 0/0    | 1

# Bodies and events. What no client could read ends as an error; what only looks odd passes as it is.
bad-json           | plain    | 502 upstream_invalid_response     | InternalServerError      | upstream_error | upstream_invalid_response | 13/6   | 1
bad-json           | streamed | 200 1 error stream_interrupted    | APIError                 | stream_cut     | stream_interrupted        | ~27/2  | 1
truncated-json     | plain    | 502 upstream_invalid_response     | InternalServerError      | upstream_error | upstream_invalid_response | ~23/9  | 1
truncated-json     | streamed | 200 1 error stream_interrupted    | APIError                 | stream_cut     | stream_interrupted        | ~27/2  | 1
no-done            | plain    | 200 stop                          | -                        | success        | -                         | 13/6   | 1
no-done            | streamed | 200 6 stop done                   | -                        | success        | -                         | 13/6   | 1
no-finish          | plain    | 200 None                          | -                        | success        | -                         | 13/6   | 1
no-finish          | streamed | 200 6 error stream_interrupted    | APIError                 | stream_cut     | stream_interrupted        | ~27/9  | 1
done-twice         | plain    | 200 stop                          | -                        | success        | -                         | 13/6   | 1
done-twice         | streamed | 200 6 stop done                   | -                        | success        | -                         | 13/6   | 1
data-after-done    | plain    | 200 stop                          | -                        | success        | -                         | 13/6   | 1
data-after-done    | streamed | 200 6 stop done                   | -                        | success        | -                         | 13/6   | 1
content-filter     | plain    | 200 content_filter                | -                        | success        | -                         | 13/6   | 1
content-filter     | streamed | 200 6 content_filter done         | -                        | success        | -                         | 13/6   | 1
length-finish      | plain    | 200 length                        | -                        | success        | -                         | 13/6   | 1
length-finish      | streamed | 200 6 length done                 | -                        | success        | -                         | 13/6   | 1
comments           | plain    | 200 stop                          | -                        | success        | -                         | 13/6   | 1
comments           | streamed | 200 6 stop done                   | -                        | success        | -                         | 13/6   | 1
crlf               | plain    | 200 stop                          | -                        | success        | -                         | 13/6   | 1
crlf               | streamed | 200 6 stop done                   | -                        | success        | -                         | 13/6   | 1
carriage-returns   | plain    | 200 stop                          | -                        | success        | -                         | 13/6   | 1
carriage-returns   | streamed | 200 6 stop done                   | -                        | success        | -                         | 13/6   | 1
no-space           | plain    | 200 stop                          | -                        | success        | -                         | 13/6   | 1
no-space           | streamed | 200 6 stop done                   | -                        | success        | -                         | 13/6   | 1
event-fields       | plain    | 200 stop                          | -                        | success        | -                         | 13/6   | 1
event-fields       | streamed | 200 6 stop done                   | -                        | success        | -                         | 13/6   | 1
multi-line         | plain    | 200 stop                          | -                        | success        | -                         | 13/6   | 1
multi-line         | streamed | 200 6 stop done                   | -                        | success        | -                         | 13/6   | 1
bom                | plain    | 200 stop                          | -                        | success        | -                         | 13/6   | 1
bom                | streamed | 200 6 stop done                   | -                        | success        | -                         | 13/6   | 1
invalid-utf8       | plain    | 502 upstream_invalid_response     | InternalServerError      | upstream_error | upstream_invalid_response | 13/6   | 1
invalid-utf8       | streamed | 200 0 error stream_interrupted    | APIError                 | stream_cut     | stream_interrupted        | ~27/0  | 1
split-utf8         | plain    | 200 stop                          | -                        | success        | -                         | 13/6   | 1
split-utf8         | streamed | 200 6 stop done                   | -                        | success        | -                         | 13/6   | 1
endless            | plain    | 504 upstream_timeout              | InternalServerError      | timeout        | upstream_timeout          | ~23/*  | 1
endless            | streamed | 200 * error upstream_timeout      | APIError                 | timeout        | upstream_timeout          | ~27/*  | 1
endless-event      | plain    | 504 upstream_timeout              | InternalServerError      | timeout        | upstream_timeout          | ~23/0  | 1
endless-event      | streamed | 200 1 +1 broken                   | APIConnectionError       | timeout        | upstream_timeout          | ~27/2  | 1

# Token counts. What cannot be is not believed, and the call is estimated.
no-usage           | plain    | 200 stop                          | -                        | success        | -                         | ~23/9  | 1
no-usage           | streamed | 200 6 stop done                   | -                        | success        | -                         | ~27/9  | 1
usage-null         | plain    | 200 stop                          | -                        | success        | -                         | ~23/9  | 1
usage-null         | streamed | 200 6 stop done +1                | -                        | success        | -                         | ~27/9  | 1
usage-small        | plain    | 200 stop                          | -                        | success        | -                         | 1/1    | 1
usage-small        | streamed | 200 6 stop done                   | -                        | success        | -                         | 1/1    | 1
usage-large        | plain    | 200 stop                          | -                        | success        | -                         | ~23/9  | 1
usage-large        | streamed | 200 6 stop done                   | -                        | success        | -                         | ~27/9  | 1
usage-huge         | plain    | 200 stop                          | -                        | success        | -                         | ~23/9  | 1
usage-huge         | streamed | 200 6 stop done                   | -                        | success        | -                         | ~27/9  | 1
usage-negative     | plain    | 200 stop                          | -                        | success        | -                         | ~23/9  | 1
usage-negative     | streamed | 200 6 stop done                   | -                        | success        | -                         | ~27/9  | 1
usage-inconsistent | plain    | 200 stop                          | -                        | success        | -                         | 13/6   | 1
usage-inconsistent | streamed | 200 6 stop done                   | -                        | success        | -                         | 13/6   | 1
usage-strings      | plain    | 200 stop                          | -                        | success        | -                         | ~23/9  | 1
usage-strings      | streamed | 200 6 stop done                   | -                        | success        | -                         | ~27/9  | 1
usage-fractions    | plain    | 200 stop                          | -                        | success        | -                         | ~23/9  | 1
usage-fractions    | streamed | 200 6 stop done                   | -                        | success        | -                         | ~27/9  | 1
usage-every-chunk  | plain    | 200 stop                          | -                        | success        | -                         | 13/6   | 1
usage-every-chunk  | streamed | 200 6 stop done                   | -                        | success        | -                         | 13/6   | 1
usage-with-finish  | plain    | 200 stop                          | -                        | success        | -                         | 13/6   | 1
usage-with-finish  | streamed | 200 6 stop done                   | -                        | success        | -                         | 13/6   | 1

# HTTP itself. A stream is complete with [DONE], whatever comes behind it.
bad-chunk          | plain    | 502 upstream_invalid_response     | InternalServerError      | upstream_error | upstream_invalid_response | ~23/0  | 1
bad-chunk          | streamed | 200 2 error stream_interrupted    | APIError                 | stream_cut     | stream_interrupted        | ~27/3  | 1
short-chunk        | plain    | 502 upstream_invalid_response     | InternalServerError      | upstream_error | upstream_invalid_response | ~23/0  | 1
short-chunk        | streamed | 200 3 error stream_interrupted    | APIError                 | stream_cut     | stream_interrupted        | ~27/4  | 1
length-long        | plain    | 502 upstream_invalid_response     | InternalServerError      | upstream_error | upstream_invalid_response | 13/6   | 1
length-long        | streamed | 200 6 stop done                   | -                        | success        | -                         | 13/6   | 1
length-short       | plain    | 502 upstream_invalid_response     | InternalServerError      | upstream_error | upstream_invalid_response | ~23/9  | 1
length-short       | streamed | 200 4 error stream_interrupted    | APIError                 | stream_cut     | stream_interrupted        | ~27/6  | 1
two-lengths        | plain    | 502 upstream_invalid_response     | InternalServerError      | upstream_error | upstream_invalid_response | 0/0    | 1
two-lengths        | streamed | 502 upstream_invalid_response     | InternalServerError      | upstream_error | upstream_invalid_response | 0/0    | 1
length-and-chunked | plain    | 502 upstream_invalid_response     | InternalServerError      | upstream_error | upstream_invalid_response | 0/0    | 1
length-and-chunked | streamed | 502 upstream_invalid_response     | InternalServerError      | upstream_error | upstream_invalid_response | 0/0    | 1
gzip               | plain    | 502 upstream_invalid_response     | InternalServerError      | upstream_error | upstream_invalid_response | 0/0    | 1
gzip               | streamed | 502 upstream_invalid_response     | InternalServerError      | upstream_error | upstream_invalid_response | 0/0    | 1
huge-header        | plain    | 502 upstream_invalid_response     | InternalServerError      | upstream_error | upstream_invalid_response | 0/0    | 1
huge-header        | streamed | 502 upstream_invalid_response     | InternalServerError      | upstream_error | upstream_invalid_response | 0/0    | 1
many-headers       | plain    | 200 stop                          | -                        | success        | -                         | 13/6   | 1
many-headers       | streamed | 200 6 stop done                   | -                        | success        | -                         | 13/6   | 1
bad-header         | plain    | 502 upstream_invalid_response     | InternalServerError      | upstream_error | upstream_invalid_response | 0/0    | 1
bad-header         | streamed | 502 upstream_invalid_response     | InternalServerError      | upstream_error | upstream_invalid_response | 0/0    | 1
bare-line-feeds    | plain    | 502 upstream_invalid_response     | InternalServerError      | upstream_error | upstream_invalid_response | 0/0    | 1
bare-line-feeds    | streamed | 502 upstream_invalid_response     | InternalServerError      | upstream_error | upstream_invalid_response | 0/0    | 1
interim            | plain    | 200 stop                          | -                        | success        | -                         | 13/6   | 1
interim            | streamed | 200 6 stop done                   | -                        | success        | -                         | 13/6   | 1
switching          | plain    | 502 upstream_invalid_response     | InternalServerError      | upstream_error | upstream_invalid_response | 0/0    | 1
switching          | streamed | 502 upstream_invalid_response     | InternalServerError      | upstream_error | upstream_invalid_response | 0/0    | 1
http-1.0           | plain    | 200 stop                          | -                        | success        | -                         | 13/6   | 1
http-1.0           | streamed | 200 6 stop done                   | -                        | success        | -                         | 13/6   | 1
not-http           | plain    | 502 upstream_invalid_response     | InternalServerError      | upstream_error | upstream_invalid_response | 0/0    | 1
not-http           | streamed | 502 upstream_invalid_response     | InternalServerError      | upstream_error | upstream_invalid_response | 0/0    | 1
trailers           | plain    | 200 stop                          | -                        | success        | -                         | 13/6   | 1
trailers           | streamed | 200 6 stop done                   | -                        | success        | -                         | 13/6   | 1
chunk-extensions   | plain    | 200 stop                          | -                        | success        | -                         | 13/6   | 1
chunk-extensions   | streamed | 200 6 stop done                   | -                        | success        | -                         | 13/6   | 1
extra-bytes        | plain    | 200 stop                          | -                        | success        | -                         | 13/6   | 1
extra-bytes        | streamed | 200 6 stop done                   | -                        | success        | -                         | 13/6   | 1
second-answer      | plain    | 200 stop                          | -                        | success        | -                         | 13/6   | 1
second-answer      | streamed | 200 6 stop done                   | -                        | success        | -                         | 13/6   | 1
endless-head       | plain    | 502 upstream_invalid_response     | InternalServerError      | upstream_error | upstream_invalid_response | 0/0    | 1
endless-head       | streamed | 502 upstream_invalid_response     | InternalServerError      | upstream_error | upstream_invalid_response | 0/0    | 1

# Time and the connection.
one-write          | plain    | 200 stop                          | -                        | success        | -                         | 13/6   | 1
one-write          | streamed | 200 6 stop done                   | -                        | success        | -                         | 13/6   | 1
byte-by-byte       | plain    | 200 stop                          | -                        | success        | -                         | 13/6   | 1
byte-by-byte       | streamed | 200 6 stop done                   | -                        | success        | -                         | 13/6   | 1
slow-writer        | plain    | 200 stop                          | -                        | success        | -                         | 13/6   | 1
slow-writer        | streamed | 200 6 stop done                   | -                        | success        | -                         | 13/6   | 1
slow-reader        | plain    | 200 stop                          | -                        | success        | -                         | 13/6   | 1
slow-reader        | streamed | 200 6 stop done                   | -                        | success        | -                         | 13/6   | 1
slow-first-token   | plain    | 504 upstream_timeout              | InternalServerError      | timeout        | upstream_timeout          | 0/0    | 1
slow-first-token   | streamed | 504 upstream_timeout              | InternalServerError      | timeout        | upstream_timeout          | 0/0    | 1
early-head         | plain    | 504 upstream_timeout              | InternalServerError      | timeout        | upstream_timeout          | ~23/0  | 1
early-head         | streamed | 504 upstream_timeout              | InternalServerError      | timeout        | upstream_timeout          | ~27/0  | 1
stall-head         | plain    | 504 upstream_timeout              | InternalServerError      | timeout        | upstream_timeout          | 0/0    | 1
stall-head         | streamed | 504 upstream_timeout              | InternalServerError      | timeout        | upstream_timeout          | 0/0    | 1
stall              | plain    | 504 upstream_timeout              | InternalServerError      | timeout        | upstream_timeout          | ~23/0  | 1
stall              | streamed | 200 2 error upstream_timeout      | APIError                 | timeout        | upstream_timeout          | ~27/3  | 1
stall-in-event     | plain    | 504 upstream_timeout              | InternalServerError      | timeout        | upstream_timeout          | ~23/9  | 1
stall-in-event     | streamed | 200 2 error upstream_timeout      | APIError                 | timeout        | upstream_timeout          | ~27/3  | 1
reset-on-head      | plain    | 502 upstream_unreachable          | InternalServerError      | upstream_error | upstream_unreachable      | 0/0    | 2
reset-on-head      | streamed | 502 upstream_unreachable          | InternalServerError      | upstream_error | upstream_unreachable      | 0/0    | 2
reset-on-body      | plain    | 502 upstream_unreachable          | InternalServerError      | upstream_error | upstream_unreachable      | 0/0    | 2
reset-on-body      | streamed | 502 upstream_unreachable          | InternalServerError      | upstream_error | upstream_unreachable      | 0/0    | 2
reset-at           | plain    | 502 upstream_unreachable          | InternalServerError      | upstream_error | upstream_unreachable      | 0/0    | 2
reset-at           | streamed | 502 upstream_unreachable          | InternalServerError      | upstream_error | upstream_unreachable      | 0/0    | 2
fin-at             | plain    | 502 upstream_unreachable          | InternalServerError      | upstream_error | upstream_unreachable      | 0/0    | 2
fin-at             | streamed | 502 upstream_unreachable          | InternalServerError      | upstream_error | upstream_unreachable      | 0/0    | 2
reset-after        | plain    | 502 upstream_invalid_response     | InternalServerError      | upstream_error | upstream_invalid_response | ~23/0  | 1
reset-after        | streamed | 200 2 error stream_interrupted    | APIError                 | stream_cut     | stream_interrupted        | ~27/3  | 1
fin-after          | plain    | 502 upstream_invalid_response     | InternalServerError      | upstream_error | upstream_invalid_response | ~23/0  | 1
fin-after          | streamed | 200 2 error stream_interrupted    | APIError                 | stream_cut     | stream_interrupted        | ~27/3  | 1
"""


class Row:
    def __init__(self, line):
        parts = [part.strip() for part in line.split("|")]
        self.fault, self.form, self.client, self.sdk, self.outcome, self.code, self.tokens, self.tries = parts

    def __str__(self):
        return f"{self.fault}-{self.form}"

    @property
    def is_stream(self):
        return self.form == "streamed"


ROWS = [Row(line) for line in TABLE.strip().splitlines()[1:] if "|" in line]


@pytest.fixture(scope="module")
def provider(tmp_path_factory):
    simulator = Simulator(tmp_path_factory.mktemp("faults") / "simulator", "--tokens", "6", "--record")
    try:
        yield simulator.start()
    finally:
        simulator.stop()


@pytest.fixture(scope="module")
def faulty(provider, tmp_path_factory):
    """One gateway with short timeouts for the whole module."""
    gateway = Gateway(tmp_path_factory.mktemp("faults") / "gateway", provider, models="", configuration=CONFIGURATION)
    try:
        yield gateway.start()
    finally:
        gateway.stop()


@pytest.fixture(scope="module")
def token(faulty):
    return faulty.create_key(name="faults")["key"]


@pytest.fixture(scope="module")
def sdk(faulty, token):
    with openai.OpenAI(base_url=f"{faulty.url}/v1", api_key=token, max_retries=0, timeout=5) as client:
        yield client


_numbers = itertools.count()


def observe(port, token, is_stream, headers, model=MODEL):
    """What a client without any leniency reads, in the words of the table."""
    connection = RawConnection(port, timeout=5)
    with connection:
        connection.send(post(CHAT, {**BODY, "model": model, **({"stream": True} if is_stream else {})}, token, headers))
        version, status, named = connection.head()
        fields = {name.lower(): value for name, value in named}
        if fields.get("transfer-encoding") != "chunked":
            body = connection._exactly(int(fields["content-length"]))
            return f"{status} {describe_plain(status, body)}", fields, body
        body, is_broken = b"", False
        try:
            while size := int(connection._line().split(b";")[0], 16):
                body += connection._exactly(size)
                assert connection._exactly(2) == b"\r\n"
            assert connection._line() == b""
        except (EOFError, ConnectionResetError):
            is_broken = True
        if not fields.get("content-type", "").startswith("text/event-stream"):
            return f"{status} {'broken' if is_broken else describe_plain(status, body)}", fields, body
        return f"{status} {describe_stream(body, is_broken)}", fields, body


def describe_plain(status, body):
    document = json.loads(body)
    if status >= 400:
        assert set(document["error"]) >= {"message", "type", "code"} if isinstance(document["error"], dict) else True
        return str(document["error"].get("code")) if isinstance(document["error"], dict) else "string"
    choices = document.get("choices") or [{}]
    return str(choices[0].get("finish_reason"))


def describe_stream(body, is_broken):
    body = body.removeprefix(b"\xef\xbb\xbf").decode("utf-8", "replace").replace("\r\n", "\n").replace("\r", "\n")
    deltas, others, words = 0, 0, []
    for event in body.split("\n\n"):
        data = "\n".join(line[5:].removeprefix(" ") for line in event.split("\n") if line.startswith("data:"))
        if not data:
            continue
        if data == "[DONE]":
            words.append("done")
            continue
        try:
            chunk = json.loads(data)
        except ValueError:
            others += 1
            continue
        if "error" in chunk:
            words.append(f"error {chunk['error']['code']}")
            continue
        for choice in chunk.get("choices", []):
            deltas += bool(choice["delta"].get("content"))
            if choice["finish_reason"]:
                words.append(choice["finish_reason"])
        others += not chunk.get("choices")
    return " ".join([str(deltas), *words] + ([f"+{others}"] if others else []) + (["broken"] if is_broken else []))


def raised_by_sdk(client, is_stream, headers, model=MODEL):
    """The name of the class that OpenAI's client raises, and what it is."""
    try:
        answer = client.chat.completions.create(**{**BODY, "model": model}, stream=is_stream, extra_headers=headers)
        if is_stream:
            for _ in answer:
                pass
    except Exception as error:  # whatever it is, it is compared by name
        return type(error).__name__, error
    return "-", None


def counters(gateway):
    """The sums of the counters that a call moves."""
    answer = gateway.request("GET", "/metrics", key=ADMIN_KEY)
    wanted = {"llm_requests_total", "llm_errors_total", "llm_tokens_used_total", "llm_cost_total", "martlet_stale_connections_total"}
    found = {}
    for family in text_string_to_metric_families(answer.body.decode()):
        for sample in family.samples:
            if sample.name not in wanted:
                continue
            labels = [sample.labels[name] for name in ("model", "provider", "status", "type") if name in sample.labels]
            key = " ".join([sample.name, *labels])
            found[key] = found.get(key, 0) + sample.value
    return found


def moved(before, after):
    return {key: value - before.get(key, 0) for key, value in after.items() if abs(value - before.get(key, 0)) > 1e-15}


def record_of(gateway, request_id):
    return wait_until(lambda: next(iter(gateway.rows(request_id=request_id)), None), 5, "the call is in the usage log")


def run_row(faulty, token, sdk, fault, is_stream):
    """Does the calls of one row and says what came of them: the row's columns, the usage row, and the counters that moved."""
    request_id = f"fault-{next(_numbers)}"
    headers = {"x-sim-fault": fault, "x-request-id": request_id, "x-sim-scenario": request_id}
    # So that every row begins with one idle connection.
    assert faulty.request("POST", CHAT, BODY, key=token).status == 200
    before = counters(faulty)
    client, fields, body = observe(faulty.port, token, is_stream, list(headers.items()))
    record = record_of(faulty, request_id)
    after = counters(faulty)
    assert faulty.request("POST", CHAT, BODY, key=token).status == 200, "the next call is unharmed"
    raised, error = raised_by_sdk(sdk, is_stream, {**headers, "x-request-id": f"{request_id}-sdk", "x-sim-scenario": f"{request_id}-sdk"})
    mark = "~" if record["estimated"] else ""
    columns = [
        client, raised, record["outcome"], record["error_code"] or "-", f"{mark}{record['input_tokens']}/{record['output_tokens']}", str(record["attempts"]),
    ]
    return columns, record, moved(before, after), fields, body, error


def price(record):
    rates = {kind: decimal.Decimal(text) for kind, text in PRICES[MODEL].items()}
    cached = record["cached_input_tokens"]
    total = ((record["input_tokens"] - cached) * rates["input"] + cached * rates["cached_input"] + record["output_tokens"] * rates["output"]) / 1_000_000
    return total.quantize(decimal.Decimal("1e-9"), rounding=decimal.ROUND_HALF_UP)


@pytest.mark.parametrize("row", ROWS, ids=str)
def test_the_table(faulty, token, sdk, row):
    columns, record, changes, fields, _, error = run_row(faulty, token, sdk, row.fault, row.is_stream)
    expected_columns = [row.client, row.sdk, row.outcome, row.code, row.tokens, row.tries]
    for found, expected in zip(columns, expected_columns):
        assert re.fullmatch(re.escape(expected).replace(r"\*", r"\d+"), found), f"{columns} is not {expected_columns}"

    status = int(row.client.split()[0])
    assert record["status"] == status
    assert record["provider"] == "sim" and record["deployment"] == "sim/gpt-4o-mini" and record["served_model"] == record["requested_model"] == MODEL
    assert record["stream"] is row.is_stream and record["endpoint"] == "chat.completions" and record["count"] == 1
    assert decimal.Decimal(record["cost_usd"]) == price(record)
    assert fields["x-request-id"] == record["request_id"] and fields["x-martlet-attempts"] == row.tries
    if error is not None and isinstance(error, openai.APIStatusError):
        assert error.status_code == status

    expected = {f"llm_requests_total {MODEL} sim {row.outcome}": 1}
    if row.outcome != "success":
        expected[f"llm_errors_total {MODEL} sim {row.outcome}"] = 1
    kinds = {"input": "input_tokens", "output": "output_tokens", "cached_input": "cached_input_tokens", "reasoning": "reasoning_tokens"}
    for kind, column in kinds.items():
        if record[column]:
            expected[f"llm_tokens_used_total {MODEL} sim {row.outcome} {kind}"] = record[column]
    if record["input_tokens"] or record["output_tokens"]:
        expected[f"llm_cost_total {MODEL} sim {row.outcome}"] = pytest.approx(float(price(record)), rel=1e-6, abs=1e-12)
    if row.tries == "2":
        expected["martlet_stale_connections_total"] = 1
    assert changes == expected


def test_the_table_has_every_fault_in_both_forms():
    listed = run_cli("simulate", "--list-faults")
    assert listed.returncode == 0, listed.stderr
    names = [re.match(r"[a-z0-9.-]+", line).group() for line in listed.stdout.splitlines()]
    assert len(names) == len(set(names)) > 90
    assert sorted((row.fault, row.form) for row in ROWS) == sorted((name, form) for name in names for form in ("plain", "streamed"))


def test_no_row_ends_a_failure_as_a_success():
    for row in ROWS:
        ended_well = row.outcome == "success"
        assert ended_well == (row.code == "-"), row
        if row.client.split()[0] != "200":
            assert not ended_well, row
        if "error" in row.client or "broken" in row.client:
            assert not ended_well and row.sdk != "-", row
        if not ended_well:
            assert row.sdk != "-", row


# Beyond the table


def use_script(provider, script):
    """Puts a script in force at the control path."""
    answer = http_request(provider.port, "PUT", "/sim/script", body=script.encode())
    assert answer.status == 200, answer
    return answer.json()


@pytest.fixture
def script(provider):
    yield lambda text: use_script(provider, text)
    assert http_request(provider.port, "DELETE", "/sim/script").status == 200


@pytest.mark.parametrize("end", ["reset-at", "fin-at"])
@pytest.mark.parametrize("is_stream", [False, True], ids=["plain", "streamed"])
def test_an_end_at_any_byte_is_never_a_success_unless_all_was_there(faulty, token, provider, is_stream, end):
    def sent(request_id):
        (call,) = http_request(provider.port, "GET", f"/sim/calls?request_id={request_id}").json()["calls"][-1:]
        return call["bytes_sent"]

    name = f"{end}-{'streamed' if is_stream else 'plain'}"
    # Taken apart in the same way, but too short to be cut.
    observe(faulty.port, token, is_stream, [("x-request-id", f"{name}-whole"), ("x-sim-fault", f"{end}=1000000")])
    total = sent(f"{name}-whole")
    places = sorted({1, 8, 9, 17, *range(40, total, max(1, total // 18)), total - 8, total - 6, total - 5, total - 1, total})
    for place in places:
        request_id = f"{name}-{place}"
        client, _, _ = observe(faulty.port, token, is_stream, [("x-request-id", request_id), ("x-sim-fault", f"{end}={place}")])
        record = record_of(faulty, request_id)
        is_whole = client.endswith("done") if is_stream else client == "200 stop"
        assert (record["outcome"] == "success") == is_whole, (place, client, record)
        if not is_whole:
            assert client.split()[0] == "502" or "error stream_interrupted" in client, (place, client)
            assert record["outcome"] in ("upstream_error", "stream_cut") and record["error_code"], (place, record)
        # Of a stream the last chunk may be missing: it is complete with [DONE].
        if place == total:
            assert is_whole
        elif not is_stream or place < total - 25:
            assert not is_whole, place
    assert faulty.request("POST", CHAT, BODY, key=token).status == 200


def test_a_script_chooses_the_fault_by_model_path_and_form(faulty, token, provider, script):
    script("""
rules:
  - { name: stream, match: { model: by-script, stream: true }, then: { fault: bad-json=3 } }
  - { name: second, match: { model: by-script, calls: 2 }, then: { fault: html-200 } }
  - { name: text, match: { model: by-script }, then: { text: "Exactly this, and no more.", finish_reason: length } }
""")
    plain = [observe(faulty.port, token, False, [("x-request-id", f"script-{number}")], "by-script") for number in range(3)]
    assert [client for client, _, _ in plain] == ["200 length", "502 upstream_invalid_response", "200 length"]
    assert json.loads(plain[0][2])["choices"][0]["message"]["content"] == "Exactly this, and no more."
    assert observe(faulty.port, token, True, [], "by-script")[0] == "200 2 error stream_interrupted"
    assert observe(faulty.port, token, False, [])[0] == "200 stop", "another model is left alone"
    shown = http_request(provider.port, "GET", "/sim/script").json()
    assert [(rule["name"], rule["matched"], rule["applied"]) for rule in shown["rules"]] == [("stream", 1, 1), ("second", 3, 1), ("text", 2, 2)]
    calls = http_request(provider.port, "GET", "/sim/calls?model=by-script&rule=second").json()["calls"]
    assert [(call["faults"], call["status"], call["end"]) for call in calls] == [(["html-200"], 200, "complete")]


@pytest.mark.parametrize(
    "fault, form, reason",
    [
        ("status-503", "plain", "status_503"),
        ("status-429", "streamed", "status_429"),
        ("error-200", "plain", "invalid_response"),
        ("error-200", "streamed", "invalid_response"),
        ("html-200", "streamed", "invalid_response"),
        ("json-for-stream", "streamed", "invalid_response"),
        ("stream-for-plain", "plain", "invalid_response"),
        ("empty-object", "plain", "invalid_response"),
        ("empty-stream", "streamed", "cut"),
        ("bad-json", "plain", "invalid_response"),
        ("invalid-utf8", "plain", "invalid_response"),
        ("short-chunk", "plain", "cut"),
        ("stall-head", "plain", "timeout"),
        ("huge-header", "streamed", "invalid_response"),
    ],
)
def test_what_fails_before_the_client_has_anything_is_another_provider_s_turn(faulty, token, script, fault, form, reason):
    script(f"rules: [{{ match: {{ model: first-choice }}, then: {{ fault: {fault} }} }}]")
    request_id = f"fallback-{fault}-{form}"
    client, fields, _ = observe(faulty.port, token, form == "streamed", [("x-request-id", request_id)], "with-second-choice")
    assert client == ("200 6 stop done" if form == "streamed" else "200 stop")
    record = record_of(faulty, request_id)
    assert record["outcome"] == "success" and record["served_model"] == "gpt-4o-mini" and record["fallback_reason"] == reason
    assert record["attempts"] == 2 and fields["x-martlet-attempts"] == "2" and record["estimated"] is False


def test_the_provider_s_words_and_hints_reach_the_client(faulty, token, sdk):
    with pytest.raises(openai.InternalServerError) as raised:
        sdk.chat.completions.create(**BODY, extra_headers={"x-sim-fault": "error-200"})
    assert raised.value.status_code == 502 and "(simulated)" in raised.value.message and raised.value.type == "server_error"
    hints = {"status-429": {"retry-after"}, "rate-limit-ms": {"retry-after-ms"}, "rate-limit-no-hint": set(), "quota": set()}
    for fault, expected in hints.items():
        _, fields, _ = observe(faulty.port, token, False, [("x-sim-fault", fault)])
        assert {name for name in fields if name.startswith("retry-after")} == expected, fault


def test_the_sdk_retries_a_provider_that_flaps(faulty, token):
    with openai.OpenAI(base_url=f"{faulty.url}/v1", api_key=token, max_retries=1, timeout=5) as client:
        headers = {"x-sim-fault": "flap", "x-sim-scenario": "sdk-flap"}
        answer = client.chat.completions.with_raw_response.create(**BODY, extra_headers=headers)
        assert answer.retries_taken == 1 and answer.parse().choices[0].message.content


def test_a_provider_that_reads_slowly_harms_nobody_else(faulty, token):
    with RawConnection(faulty.port) as slow:
        large = {**BODY, "messages": [{"role": "user", "content": "word " * 400_000}]}
        slow.send(post(CHAT, large, token, [("x-request-id", "slow-reader-large"), ("x-sim-fault", "slow-reader=20")]))
        for _ in range(20):
            assert faulty.request("POST", CHAT, BODY, key=token).status == 200
        answer = slow.answer()
    assert answer.status == 504 and answer.json()["error"]["code"] == "upstream_timeout"
    assert record_of(faulty, "slow-reader-large")["outcome"] == "timeout"

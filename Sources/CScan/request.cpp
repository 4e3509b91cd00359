// The request scanner: one on-demand pass of simdjson over the body. It checks the encoding and the top level, unescapes keys before
// it compares them (so "model" cannot hide), and leaves the insides of other values to the provider.

#include <new>
#include <simdjson.h>

#include "cscan.h"

using namespace simdjson;

namespace {

struct Name {
    const char *text;
    size_t length;
    int field;
};

constexpr Name names[] = {
    {"model", 5, CSCAN_MODEL},
    {"stream", 6, CSCAN_STREAM},
    {"stream_options", 14, CSCAN_STREAM_OPTIONS},
    {"messages", 8, CSCAN_MESSAGES},
    {"prompt", 6, CSCAN_PROMPT},
    {"input", 5, CSCAN_INPUT},
    {"max_tokens", 10, CSCAN_MAX_TOKENS},
    {"max_completion_tokens", 21, CSCAN_MAX_COMPLETION_TOKENS},
    {"n", 1, CSCAN_N},
    {"user", 4, CSCAN_USER},
};

int find(std::string_view key) {
    for (const Name &name : names) {
        if (key.size() == name.length && memcmp(key.data(), name.text, name.length) == 0) return name.field;
    }
    return -1;
}

int code(error_code error) {
    switch (error) {
    case EMPTY: return CSCAN_EMPTY;
    case UTF8_ERROR: return CSCAN_NOT_UTF8;
    case MEMALLOC: return CSCAN_NO_MEMORY;
    case DEPTH_ERROR: return CSCAN_TOO_DEEP;
    default: return CSCAN_MALFORMED;
    }
}

bool is_space(char c) { return c == ' ' || c == '\n' || c == '\r' || c == '\t'; }

// The type of a value and its place; `token` runs to the next token, so white space is cut from its end.
uint8_t place(ondemand::json_type type, std::string_view token, const char *base, cscan_field *out) {
    size_t length = token.size();
    while (length > 0 && is_space(token[length - 1])) length--;
    out->start = static_cast<uint32_t>(token.data() - base);
    out->end = static_cast<uint32_t>(out->start + length);
    switch (type) {
    case ondemand::json_type::string: out->type = CSCAN_STRING; break;
    case ondemand::json_type::number: out->type = CSCAN_NUMBER; break;
    case ondemand::json_type::boolean: out->type = token[0] == 't' ? CSCAN_TRUE : CSCAN_FALSE; break;
    case ondemand::json_type::null: out->type = CSCAN_NULL; break;
    case ondemand::json_type::object: out->type = CSCAN_OBJECT; out->end = out->start; break;
    case ondemand::json_type::array: out->type = CSCAN_ARRAY; out->end = out->start; break;
    }
    return out->type;
}

// simdjson looks at a scalar only when it is asked for: ask, so that `"stream": tru` is no boolean.
error_code check(ondemand::value &value, uint8_t type) {
    switch (type) {
    case CSCAN_TRUE:
    case CSCAN_FALSE: {
        bool ignored;
        return value.get_bool().get(ignored);
    }
    case CSCAN_NULL: {
        bool null;
        error_code error = value.is_null().get(null);
        return error ? error : (null ? SUCCESS : N_ATOM_ERROR);
    }
    case CSCAN_NUMBER: {
        double ignored;
        return value.get_double().get(ignored);
    }
    default: return SUCCESS;
    }
}

int64_t integer(ondemand::value &value) {
    int64_t number;
    return value.get_int64().get(number) ? -1 : number;
}

error_code options(ondemand::value &value, const char *base, cscan_request *out) {
    ondemand::object object;
    if (error_code error = value.get_object().get(object)) return error;
    out->options_are_empty = 1;
    for (auto member : object) {
        out->options_are_empty = 0;
        ondemand::field field;
        if (error_code error = std::move(member).get(field)) return error;
        std::string_view key;
        if (error_code error = field.unescaped_key().get(key)) return error;
        if (key != "include_usage") continue;
        cscan_field *found = &out->fields[CSCAN_INCLUDE_USAGE];
        if (found->type != CSCAN_ABSENT && out->duplicate < 0) out->duplicate = CSCAN_INCLUDE_USAGE;
        ondemand::value inner = field.value();
        ondemand::json_type type;
        if (error_code error = inner.type().get(type)) return error;
        uint8_t kind = place(type, inner.raw_json_token(), base, found);
        if (error_code error = check(inner, kind)) return error;
    }
    return SUCCESS;
}

error_code scan(ondemand::parser &parser, const char *bytes, size_t length, cscan_request *out, int *result) {
    ondemand::document document;
    if (error_code error = parser.iterate(bytes, length, length + SIMDJSON_PADDING).get(document)) return error;
    ondemand::json_type top;
    if (error_code error = document.type().get(top)) return error;
    if (top != ondemand::json_type::object) {
        *result = CSCAN_NOT_OBJECT;
        return SUCCESS;
    }
    size_t open = 0;
    while (open < length && bytes[open] != '{') open++;
    out->object_open = static_cast<uint32_t>(open + 1);
    out->object_is_empty = 1;
    ondemand::object object;
    if (error_code error = document.get_object().get(object)) return error;
    for (auto member : object) {
        out->object_is_empty = 0;
        ondemand::field field;
        if (error_code error = std::move(member).get(field)) return error;
        std::string_view key;
        if (error_code error = field.unescaped_key().get(key)) return error;
        int index = find(key);
        if (index < 0) continue;
        cscan_field *found = &out->fields[index];
        if (found->type != CSCAN_ABSENT && out->duplicate < 0) out->duplicate = static_cast<int8_t>(index);
        ondemand::value value = field.value();
        ondemand::json_type type;
        if (error_code error = value.type().get(type)) return error;
        uint8_t kind = place(type, value.raw_json_token(), bytes, found);
        switch (index) {
        case CSCAN_MODEL:
        case CSCAN_USER: {
            if (kind != CSCAN_STRING) break;
            std::string_view text;
            if (error_code error = value.get_string().get(text)) return error;
            if (index == CSCAN_MODEL) {
                out->model = text.data();
                out->model_length = text.size();
            } else {
                out->user = text.data();
                out->user_length = text.size();
            }
            continue;
        }
        case CSCAN_STREAM_OPTIONS:
            if (kind == CSCAN_OBJECT) {
                out->options_open = found->start + 1;
                if (error_code error = options(value, bytes, out)) return error;
                continue;
            }
            break;
        case CSCAN_MAX_TOKENS:
            if (kind == CSCAN_NUMBER && out->fields[CSCAN_MAX_COMPLETION_TOKENS].type != CSCAN_NUMBER) out->max_tokens = integer(value);
            break;
        case CSCAN_MAX_COMPLETION_TOKENS:
            if (kind == CSCAN_NUMBER) out->max_tokens = integer(value);
            break;
        case CSCAN_N:
            if (kind == CSCAN_NUMBER) out->n = integer(value);
            break;
        default: break;
        }
        if (error_code error = check(value, kind)) return error;
    }
    const char *behind;
    if (document.current_location().get(behind) == SUCCESS) *result = CSCAN_TRAILING;
    return SUCCESS;
}

}  // namespace

extern "C" int cscan_is_utf8(const uint8_t *bytes, size_t length) {
    // Most frames and many answers are ASCII: seen here, without the way to the implementation for this processor. Longer texts are
    // worth that way.
    if (length <= 1024) {
        uint64_t high = 0;
        size_t at = 0;
        for (; at + 16 <= length; at += 16) {
            uint64_t words[2];
            memcpy(words, bytes + at, 16);
            high |= words[0] | words[1];
        }
        for (; at < length; at++) high |= bytes[at];
        if ((high & 0x8080808080808080u) == 0) return 1;
    }
    return validate_utf8(reinterpret_cast<const char *>(bytes), length);
}

extern "C" size_t cscan_padding(void) { return SIMDJSON_PADDING; }

extern "C" void *cscan_scanner_create(void) { return new (std::nothrow) ondemand::parser(); }

extern "C" void cscan_scanner_destroy(void *scanner) { delete static_cast<ondemand::parser *>(scanner); }

extern "C" int cscan_request_scan(void *scanner, const char *bytes, size_t length, cscan_request *out) {
    memset(out, 0, sizeof(*out));
    out->duplicate = -1;
    out->max_tokens = -1;
    out->n = -1;
    if (scanner == nullptr) return CSCAN_NO_MEMORY;
    if (length > UINT32_MAX - SIMDJSON_PADDING) return CSCAN_NO_MEMORY;
    int result = CSCAN_OK;
    error_code error = scan(*static_cast<ondemand::parser *>(scanner), bytes, length, out, &result);
    if (error) return code(error);
    return result;
}

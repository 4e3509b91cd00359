// A model provider for benchmarks: the OpenAI chat dialect at as little CPU as possible, so that what is in front of it is what is measured.
//
// One thread, epoll, one wheel of timers. A plain call gets a fixed answer with usage. A streamed call gets a fixed number of frames at a fixed
// pace, a finish frame, the usage frame when asked for, and [DONE]. Each frame carries `~stream~frame~stamp~`: which stream it belongs to, its
// number from 0, and CLOCK_MONOTONIC in nanoseconds right before it was written; Benchmarks/native/streamload.c checks and times all of them.
//
//     cc -O2 -o upstream upstream.c && ./upstream --port 9900 --frames 64 --pace-us 100000
//
// `POST /control?frames=&pace_us=&delay_us=&answer_bytes=` changes what later calls get; `release=1` ends every running stream at its next tick;
// `GET /control` counts what happened. See usage() for the flags.
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <getopt.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum {
    HEAD_MAX = 64 * 1024,         // of one request
    EDGE_BYTES = 16 * 1024,       // of a body, looked at for "stream" at its begin and at its end
    BODY_MAX = 64 * 1024 * 1024,  // of one request
    OUTPUT_MAX = 8 * 1024 * 1024, // what may wait for a slow reader before its connection is closed
    READ_BYTES = 256 * 1024,
    SLOTS = 8192, // of the wheel, one millisecond each
    EVENTS = 512,
};
static const uint64_t TICK_NS = 1000000;

// What later calls get; `POST /control` changes it.
static struct {
    uint32_t frames;
    uint64_t paceNs, firstNs, delayNs;
    uint32_t answerBytes;
} settings = {64, 100000000, 0, 0, 300};

static struct {
    uint64_t accepted, closed, plain, streams, finished, cancelled, frames, bodyBytes, refused, other, authorized;
} counts;

typedef enum { READING_HEAD, READING_BODY, ANSWERING } Phase;
typedef enum { CHUNK_SIZE, CHUNK_EXTENSION, CHUNK_DATA, CHUNK_END, TRAILER } ChunkState;

typedef struct Connection {
    int fd;
    Phase phase;
    bool readable, peerClosed, closing, dead;
    // the request
    char *head; // bytes that came and have not been used
    size_t headLength, headCapacity;
    bool chunked, closeAfter, wantsUsage, trailerLineEmpty;
    char method[8];
    char target[512];
    uint64_t bodyLeft, bodySeen, chunkLeft;
    ChunkState chunkState;
    char *edge; // the first and the last EDGE_BYTES of the body
    size_t edgeFirst, edgeLast;
    // the answer
    bool streaming, delayed;
    uint64_t stream;
    uint32_t frame, frames;
    uint64_t paceNs, dueNs;
    char *output;
    size_t outputStart, outputLength, outputCapacity;
    // the wheel
    struct Connection *next, *previous;
    int slot; // -1: none
    struct Connection *nextDead;
} Connection;

static int poller, listener;
static Connection *wheel[SLOTS];
static uint64_t wheelTick; // every slot up to and including this tick has been run
static uint64_t streamSequence, callSequence;
static char readBuffer[READ_BYTES];
static size_t waiting; // connections in the wheel
static Connection *deadConnections;
static volatile sig_atomic_t stopped;

static uint64_t now(void) {
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (uint64_t)time.tv_sec * 1000000000ull + (uint64_t)time.tv_nsec;
}

static void *need(void *pointer) {
    if (pointer == NULL) {
        fputs("error: out of memory\n", stderr);
        exit(1);
    }
    return pointer;
}

// ── The wheel ──────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────

static void unschedule(Connection *connection) {
    if (connection->slot < 0) return;
    if (connection->previous != NULL) connection->previous->next = connection->next;
    else wheel[connection->slot] = connection->next;
    if (connection->next != NULL) connection->next->previous = connection->previous;
    connection->slot = -1;
    waiting--;
}

static void schedule(Connection *connection, uint64_t dueNs) {
    unschedule(connection);
    uint64_t tick = (dueNs + TICK_NS - 1) / TICK_NS;
    if (tick <= wheelTick) tick = wheelTick + 1;
    connection->dueNs = dueNs;
    connection->slot = (int)(tick % SLOTS);
    connection->previous = NULL;
    connection->next = wheel[connection->slot];
    if (connection->next != NULL) connection->next->previous = connection;
    wheel[connection->slot] = connection;
    waiting++;
}

// ── Writing ────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────

static void closeConnection(Connection *connection) {
    if (connection->dead) return;
    unschedule(connection);
    if (connection->streaming) counts.cancelled++;
    counts.closed++;
    close(connection->fd);
    connection->dead = true; // freed after the batch of events that may still name it
    connection->nextDead = deadConnections;
    deadConnections = connection;
}

static void buryDead(void) {
    while (deadConnections != NULL) {
        Connection *connection = deadConnections;
        deadConnections = connection->nextDead;
        free(connection->head);
        free(connection->edge);
        free(connection->output);
        free(connection);
    }
}

static void flushOutput(Connection *connection) {
    while (!connection->dead && connection->outputLength > 0) {
        ssize_t sent = send(connection->fd, connection->output + connection->outputStart, connection->outputLength, MSG_NOSIGNAL);
        if (sent < 0) {
            if (errno == EINTR) continue;
            if (errno != EAGAIN) closeConnection(connection);
            return;
        }
        connection->outputStart += (size_t)sent;
        connection->outputLength -= (size_t)sent;
    }
    connection->outputStart = 0;
    if (!connection->dead && connection->closing) closeConnection(connection);
}

static void transmit(Connection *connection, const char *bytes, size_t length) {
    if (connection->dead) return;
    size_t sent = 0;
    if (connection->outputLength == 0) {
        while (sent < length) {
            ssize_t part = send(connection->fd, bytes + sent, length - sent, MSG_NOSIGNAL);
            if (part >= 0) {
                sent += (size_t)part;
            } else if (errno == EAGAIN) {
                break;
            } else if (errno != EINTR) {
                closeConnection(connection);
                return;
            }
        }
    }
    if (sent == length) return;
    size_t rest = length - sent, wanted = connection->outputStart + connection->outputLength + rest;
    if (wanted > OUTPUT_MAX) {
        closeConnection(connection);
        return;
    }
    if (wanted > connection->outputCapacity) {
        connection->outputCapacity = wanted * 2;
        connection->output = need(realloc(connection->output, connection->outputCapacity));
    }
    memcpy(connection->output + connection->outputStart + connection->outputLength, bytes + sent, rest);
    connection->outputLength += rest;
}

// ── Answers ────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────

static const char streamHead[] =
    "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nCache-Control: no-cache\r\nTransfer-Encoding: chunked\r\n\r\n";

#define ID_DIGITS 12
#define NUMBER_DIGITS 6
#define STAMP_DIGITS 18
// Digits at fixed places, so that a frame is one copy and a few stores.
static const char frameText[] =
    "data: {\"id\":\"chatcmpl-000000000000\",\"object\":\"chat.completion.chunk\",\"created\":1780000000,\"model\":\"gpt-4o-mini\","
    "\"system_fingerprint\":\"fp_44709d6fcb\",\"choices\":[{\"index\":0,\"delta\":{\"content\":\"~000000000000~000000~000000000000000000~ \"},"
    "\"logprobs\":null,\"finish_reason\":null}]}\n\n";
static char frameTemplate[sizeof frameText + 32];
static size_t frameLength, framePlaceID, framePlaceMark;

static void putDigits(char *place, int digits, uint64_t value) {
    for (int index = digits - 1; index >= 0; index--) {
        place[index] = (char)('0' + value % 10);
        value /= 10;
    }
}

static void prepareFrame(void) {
    frameLength = (size_t)sprintf(frameTemplate, "%zx\r\n%s\r\n", sizeof frameText - 1, frameText);
    framePlaceID = (size_t)(strstr(frameTemplate, "chatcmpl-") - frameTemplate) + strlen("chatcmpl-");
    framePlaceMark = (size_t)(strchr(frameTemplate, '~') - frameTemplate) + 1;
}

static void sendFrame(Connection *connection) {
    char *mark = frameTemplate + framePlaceMark;
    putDigits(frameTemplate + framePlaceID, ID_DIGITS, connection->stream);
    putDigits(mark, ID_DIGITS, connection->stream);
    putDigits(mark + ID_DIGITS + 1, NUMBER_DIGITS, connection->frame);
    putDigits(mark + ID_DIGITS + NUMBER_DIGITS + 2, STAMP_DIGITS, now());
    connection->frame++;
    counts.frames++;
    transmit(connection, frameTemplate, frameLength);
}

static size_t putChunk(char *place, const char *text) { return (size_t)sprintf(place, "%zx\r\n%s\r\n", strlen(text), text); }

static void finishStream(Connection *connection) {
    char text[512], out[2048];
    size_t length = 0;
    const char *common = "\"object\":\"chat.completion.chunk\",\"created\":1780000000,\"model\":\"gpt-4o-mini\",\"system_fingerprint\":\"fp_44709d6fcb\"";
    sprintf(text, "data: {\"id\":\"chatcmpl-%012llu\",%s,\"choices\":[{\"index\":0,\"delta\":{},\"logprobs\":null,\"finish_reason\":\"stop\"}]}\n\n",
        (unsigned long long)connection->stream, common);
    length += putChunk(out + length, text);
    if (connection->wantsUsage) {
        sprintf(text,
            "data: {\"id\":\"chatcmpl-%012llu\",%s,\"choices\":[],\"usage\":{\"prompt_tokens\":120,\"completion_tokens\":%u,\"total_tokens\":%u}}\n\n",
            (unsigned long long)connection->stream, common, connection->frames, 120 + connection->frames);
        length += putChunk(out + length, text);
    }
    length += putChunk(out + length, "data: [DONE]\n\n");
    memcpy(out + length, "0\r\n\r\n", 5);
    connection->streaming = false;
    counts.finished++;
    transmit(connection, out, length + 5);
}

static char *plainAnswer; // head and body, the id at a fixed place
static size_t plainLength, plainPlaceID;

static void preparePlain(void) {
    static const char sentence[] = "Lagos, Evora and Tavira make a calm round trip by train and bus, with short walks along the sea. ";
    char *content = need(malloc(settings.answerBytes + 1));
    for (uint32_t index = 0; index < settings.answerBytes; index++) content[index] = sentence[index % (sizeof sentence - 1)];
    content[settings.answerBytes] = 0;
    size_t capacity = settings.answerBytes + 2048;
    char *body = need(malloc(capacity));
    int length = snprintf(body, capacity,
        "{\"id\":\"chatcmpl-000000000000\",\"object\":\"chat.completion\",\"created\":1780000000,\"model\":\"gpt-4o-mini\",\"choices\":[{\"index\":0,"
        "\"message\":{\"role\":\"assistant\",\"content\":\"~answer~ %s\",\"refusal\":null},\"logprobs\":null,\"finish_reason\":\"stop\"}],"
        "\"usage\":{\"prompt_tokens\":120,\"completion_tokens\":60,\"total_tokens\":180,\"prompt_tokens_details\":{\"cached_tokens\":0},"
        "\"completion_tokens_details\":{\"reasoning_tokens\":0}},\"system_fingerprint\":\"fp_44709d6fcb\"}",
        content);
    free(plainAnswer);
    plainAnswer = need(malloc(capacity + 256));
    plainLength = (size_t)sprintf(plainAnswer, "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s", length, body);
    plainPlaceID = (size_t)(strstr(plainAnswer, "chatcmpl-") - plainAnswer) + strlen("chatcmpl-");
    free(content);
    free(body);
}

static void sendText(Connection *connection, const char *status, const char *body) {
    char out[4096];
    int length = snprintf(out, sizeof out, "HTTP/1.1 %s\r\nContent-Type: application/json\r\nContent-Length: %zu\r\n%s\r\n%s", status, strlen(body),
        connection->closeAfter ? "Connection: close\r\n" : "", body);
    transmit(connection, out, (size_t)length);
}

static void sendCounts(Connection *connection) {
    char body[1024];
    snprintf(body, sizeof body,
        "{\"accepted\":%llu,\"closed\":%llu,\"open\":%llu,\"plain\":%llu,\"streams\":%llu,\"finished\":%llu,\"cancelled\":%llu,\"running\":%llu,"
        "\"frames\":%llu,\"body_bytes\":%llu,\"authorized\":%llu,\"refused\":%llu,\"other\":%llu}",
        (unsigned long long)counts.accepted, (unsigned long long)counts.closed, (unsigned long long)(counts.accepted - counts.closed),
        (unsigned long long)counts.plain, (unsigned long long)counts.streams, (unsigned long long)counts.finished,
        (unsigned long long)counts.cancelled, (unsigned long long)(counts.streams - counts.finished - counts.cancelled),
        (unsigned long long)counts.frames, (unsigned long long)counts.bodyBytes, (unsigned long long)counts.authorized,
        (unsigned long long)counts.refused, (unsigned long long)counts.other);
    sendText(connection, "200 OK", body);
}

// Ends every running stream at its next tick: the rest of its frames is left out.
static void releaseStreams(void) {
    Connection *all = NULL;
    for (int slot = 0; slot < SLOTS; slot++) {
        Connection *connection = wheel[slot];
        while (connection != NULL) {
            Connection *next = connection->next;
            if (connection->streaming) {
                unschedule(connection);
                connection->frames = connection->frame;
                connection->next = all;
                all = connection;
            }
            connection = next;
        }
    }
    uint64_t time = now();
    while (all != NULL) {
        Connection *connection = all;
        all = connection->next;
        schedule(connection, time);
    }
}

static bool parameter(const char *query, const char *name, uint64_t *value) {
    size_t length = strlen(name);
    for (const char *place = query; place != NULL; place = strchr(place, '&')) {
        if (*place == '&') place++;
        if (strncmp(place, name, length) == 0 && place[length] == '=') {
            *value = strtoull(place + length + 1, NULL, 10);
            return true;
        }
    }
    return false;
}

static void control(Connection *connection) {
    const char *query = strchr(connection->target, '?');
    uint64_t value;
    if (query != NULL) {
        query++;
        if (parameter(query, "frames", &value)) settings.frames = value > 999999 ? 999999 : (uint32_t)value;
        if (parameter(query, "pace_us", &value)) settings.paceNs = value * 1000;
        if (parameter(query, "first_us", &value)) settings.firstNs = value * 1000;
        if (parameter(query, "delay_us", &value)) settings.delayNs = value * 1000;
        if (parameter(query, "answer_bytes", &value)) {
            settings.answerBytes = value > 4000000 ? 4000000 : (uint32_t)value;
            preparePlain();
        }
        if (parameter(query, "release", &value)) releaseStreams();
        if (parameter(query, "reset", &value)) {
            uint64_t open = counts.accepted - counts.closed, running = counts.streams - counts.finished - counts.cancelled;
            memset(&counts, 0, sizeof counts);
            counts.accepted = open;
            counts.streams = running;
        }
    }
    sendCounts(connection);
}

static void sendPlain(Connection *connection) {
    putDigits(plainAnswer + plainPlaceID, ID_DIGITS, ++callSequence);
    counts.plain++;
    transmit(connection, plainAnswer, plainLength);
}

// ── Requests ───────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────

// Whether `"name": true` stands in the bytes. Good enough for the fixed requests of a benchmark.
static bool isTrue(const char *bytes, size_t length, const char *name) {
    size_t nameLength = strlen(name);
    const char *place = bytes, *end = bytes + length;
    while ((place = memmem(place, (size_t)(end - place), name, nameLength)) != NULL) {
        place += nameLength;
        const char *value = place;
        while (value < end && (*value == ' ' || *value == ':')) value++;
        if (end - value >= 4 && memcmp(value, "true", 4) == 0) return true;
    }
    return false;
}

static bool bodyHas(const Connection *connection, const char *name) {
    return isTrue(connection->edge, connection->edgeFirst, name)
        || isTrue(connection->edge + EDGE_BYTES, connection->edgeLast, name);
}

static void doneAnswering(Connection *connection) {
    if (connection->dead) return;
    connection->phase = READING_HEAD;
    if (connection->closeAfter) {
        connection->closing = true;
        if (connection->outputLength == 0) closeConnection(connection);
    }
}

static void answer(Connection *connection) {
    connection->phase = ANSWERING;
    const char *target = connection->target;
    size_t pathLength = strcspn(target, "?");
    bool isChat = pathLength >= 12 && memcmp(target + pathLength - 12, "/completions", 12) == 0 && strcmp(connection->method, "POST") == 0;
    if (isChat && bodyHas(connection, "\"stream\"")) {
        connection->wantsUsage = bodyHas(connection, "\"include_usage\"");
        connection->streaming = true;
        connection->stream = ++streamSequence;
        connection->frame = 0;
        connection->frames = settings.frames;
        connection->paceNs = settings.paceNs;
        counts.streams++;
        // Head and first frame are two writes, as they are with real providers: what a hop makes of two small segments is part of the measurement.
        transmit(connection, streamHead, sizeof streamHead - 1);
        if (connection->dead) return;
        if (settings.firstNs > 0 || connection->frames == 0) {
            schedule(connection, now() + (settings.firstNs > 0 ? settings.firstNs : connection->paceNs));
        } else {
            uint64_t start = now();
            sendFrame(connection);
            if (!connection->dead) schedule(connection, start + connection->paceNs);
        }
        return;
    }
    if (isChat) {
        if (settings.delayNs > 0) {
            connection->delayed = true;
            schedule(connection, now() + settings.delayNs);
            return;
        }
        sendPlain(connection);
    } else if (strncmp(target, "/control", 8) == 0) {
        control(connection);
    } else if (pathLength >= 7 && memcmp(target + pathLength - 7, "/models", 7) == 0) {
        counts.other++;
        sendText(connection, "200 OK",
            "{\"object\":\"list\",\"data\":[{\"id\":\"gpt-4o-mini\",\"object\":\"model\",\"created\":1780000000,\"owned_by\":\"benchmark\",\"root\":\"gpt-4o-mini\"}]}");
    } else {
        // Health and information of model servers, which routers ask for before they send calls.
        counts.other++;
        sendText(connection, "200 OK",
            "{\"status\":\"ok\",\"model_id\":\"gpt-4o-mini\",\"model_path\":\"gpt-4o-mini\",\"served_model_name\":\"gpt-4o-mini\","
            "\"tokenizer_path\":\"\",\"is_generation\":true,\"tp_size\":1,\"dp_size\":1,\"version\":\"0.0.0\"}");
    }
    doneAnswering(connection);
}

static void refuse(Connection *connection, const char *status) {
    counts.refused++;
    connection->closeAfter = true;
    sendText(connection, status, "{\"error\":{\"message\":\"The benchmark's upstream cannot read this request.\",\"type\":\"invalid_request_error\"}}");
    doneAnswering(connection);
}

static void takeBody(Connection *connection, const char *bytes, size_t length) {
    connection->bodySeen += length;
    counts.bodyBytes += length;
    if (connection->edge == NULL) connection->edge = need(malloc(2 * EDGE_BYTES));
    if (connection->edgeFirst < EDGE_BYTES) {
        size_t room = EDGE_BYTES - connection->edgeFirst, part = length < room ? length : room;
        memcpy(connection->edge + connection->edgeFirst, bytes, part);
        connection->edgeFirst += part;
        bytes += part;
        length -= part;
    }
    if (length == 0) return;
    char *last = connection->edge + EDGE_BYTES;
    if (length >= EDGE_BYTES) {
        memcpy(last, bytes + length - EDGE_BYTES, EDGE_BYTES);
        connection->edgeLast = EDGE_BYTES;
        return;
    }
    if (connection->edgeLast + length > EDGE_BYTES) {
        size_t drop = connection->edgeLast + length - EDGE_BYTES;
        memmove(last, last + drop, connection->edgeLast - drop);
        connection->edgeLast -= drop;
    }
    memcpy(last + connection->edgeLast, bytes, length);
    connection->edgeLast += length;
}

// Takes body bytes; returns how many belong to this request, and sets *complete at its end or *broken.
static size_t takeBodyBytes(Connection *connection, const char *bytes, size_t length, bool *complete, bool *broken) {
    size_t used = 0;
    *complete = false;
    *broken = false;
    if (!connection->chunked) {
        used = connection->bodyLeft < length ? (size_t)connection->bodyLeft : length;
        takeBody(connection, bytes, used);
        connection->bodyLeft -= used;
        *complete = connection->bodyLeft == 0;
        return used;
    }
    while (used < length) {
        char byte = bytes[used];
        switch (connection->chunkState) {
        case CHUNK_SIZE:
        case CHUNK_EXTENSION:
            used++;
            if (byte == '\n') {
                connection->chunkState = connection->chunkLeft > 0 ? CHUNK_DATA : TRAILER;
                connection->trailerLineEmpty = true;
            } else if (byte == ';') {
                connection->chunkState = CHUNK_EXTENSION;
            } else if (connection->chunkState == CHUNK_SIZE && byte != '\r') {
                int digit = byte >= '0' && byte <= '9' ? byte - '0' : (byte | 32) >= 'a' && (byte | 32) <= 'f' ? (byte | 32) - 'a' + 10 : -1;
                if (digit < 0 || connection->chunkLeft > BODY_MAX) {
                    *broken = true;
                    return used;
                }
                connection->chunkLeft = connection->chunkLeft * 16 + (uint64_t)digit;
            }
            break;
        case CHUNK_DATA: {
            size_t part = length - used;
            if (part > connection->chunkLeft) part = (size_t)connection->chunkLeft;
            takeBody(connection, bytes + used, part);
            used += part;
            connection->chunkLeft -= part;
            if (connection->chunkLeft == 0) connection->chunkState = CHUNK_END;
            break;
        }
        case CHUNK_END:
            used++;
            if (byte == '\n') connection->chunkState = CHUNK_SIZE;
            break;
        case TRAILER:
            used++;
            if (byte == '\n') {
                if (connection->trailerLineEmpty) {
                    *complete = true;
                    return used;
                }
                connection->trailerLineEmpty = true;
            } else if (byte != '\r') {
                connection->trailerLineEmpty = false;
            }
            break;
        }
        if (connection->bodySeen > BODY_MAX) {
            *broken = true;
            return used;
        }
    }
    return used;
}

static bool hasToken(const char *value, size_t length, const char *token) {
    size_t tokenLength = strlen(token);
    for (size_t index = 0; index + tokenLength <= length; index++)
        if (strncasecmp(value + index, token, tokenLength) == 0) return true;
    return false;
}

// Reads the head; false when it is not a request that this server understands.
static bool readHead(Connection *connection, char *head, size_t length) {
    char *lineEnd = memmem(head, length, "\r\n", 2);
    char *space = memchr(head, ' ', (size_t)(lineEnd - head));
    if (space == NULL || space - head >= (ptrdiff_t)sizeof connection->method) return false;
    memcpy(connection->method, head, (size_t)(space - head));
    connection->method[space - head] = 0;
    char *targetEnd = memchr(space + 1, ' ', (size_t)(lineEnd - space - 1));
    if (targetEnd == NULL || targetEnd - space - 1 >= (ptrdiff_t)sizeof connection->target) return false;
    memcpy(connection->target, space + 1, (size_t)(targetEnd - space - 1));
    connection->target[targetEnd - space - 1] = 0;
    connection->closeAfter = lineEnd[-1] == '0'; // HTTP/1.0, unless it asks for keep-alive
    connection->chunked = false;
    connection->bodyLeft = 0;
    connection->bodySeen = 0;
    connection->chunkLeft = 0;
    connection->chunkState = CHUNK_SIZE;
    connection->edgeFirst = 0;
    connection->edgeLast = 0;
    bool continues = false;
    char *line = lineEnd + 2, *end = head + length;
    while (line < end) {
        char *next = memmem(line, (size_t)(end - line), "\r\n", 2);
        if (next == NULL || next == line) break;
        char *colon = memchr(line, ':', (size_t)(next - line));
        if (colon == NULL) return false;
        size_t nameLength = (size_t)(colon - line);
        char *value = colon + 1;
        while (value < next && *value == ' ') value++;
        size_t valueLength = (size_t)(next - value);
        if (nameLength == 14 && strncasecmp(line, "content-length", 14) == 0) {
            connection->bodyLeft = strtoull(value, NULL, 10);
        } else if (nameLength == 17 && strncasecmp(line, "transfer-encoding", 17) == 0) {
            connection->chunked = hasToken(value, valueLength, "chunked");
        } else if (nameLength == 10 && strncasecmp(line, "connection", 10) == 0) {
            if (hasToken(value, valueLength, "close")) connection->closeAfter = true;
            if (hasToken(value, valueLength, "keep-alive")) connection->closeAfter = false;
        } else if (nameLength == 6 && strncasecmp(line, "expect", 6) == 0) {
            continues = true;
        } else if (nameLength == 13 && strncasecmp(line, "authorization", 13) == 0) {
            counts.authorized++;
        }
        line = next + 2;
    }
    if (connection->bodyLeft > BODY_MAX) return false;
    if (continues && (connection->chunked || connection->bodyLeft > 0)) transmit(connection, "HTTP/1.1 100 Continue\r\n\r\n", 25);
    return true;
}

static void keep(Connection *connection, const char *bytes, size_t length) {
    if (connection->headLength + length > connection->headCapacity) {
        connection->headCapacity = (connection->headLength + length) * 2;
        connection->head = need(realloc(connection->head, connection->headCapacity));
    }
    memcpy(connection->head + connection->headLength, bytes, length);
    connection->headLength += length;
}

// Works through bytes that came; what belongs to a later request is kept.
static void take(Connection *connection, char *bytes, size_t length) {
    while (length > 0 && !connection->dead) {
        if (connection->phase == READING_HEAD) {
            char *end = memmem(bytes, length, "\r\n\r\n", 4);
            if (end == NULL) {
                if (length > HEAD_MAX) refuse(connection, "431 Request Header Fields Too Large");
                else keep(connection, bytes, length);
                return;
            }
            size_t headLength = (size_t)(end - bytes) + 4;
            if (!readHead(connection, bytes, headLength)) {
                refuse(connection, "400 Bad Request");
                return;
            }
            bytes += headLength;
            length -= headLength;
            if (!connection->chunked && connection->bodyLeft == 0) answer(connection);
            else connection->phase = READING_BODY;
        } else if (connection->phase == READING_BODY) {
            bool complete, broken;
            size_t used = takeBodyBytes(connection, bytes, length, &complete, &broken);
            bytes += used;
            length -= used;
            if (broken) {
                refuse(connection, "400 Bad Request");
                return;
            }
            if (complete) answer(connection);
        } else {
            keep(connection, bytes, length);
            return;
        }
    }
}

static void takeKept(Connection *connection) {
    if (connection->dead || connection->headLength == 0) return;
    char *bytes = connection->head;
    size_t length = connection->headLength;
    connection->head = NULL;
    connection->headLength = 0;
    connection->headCapacity = 0;
    take(connection, bytes, length);
    free(bytes);
}

static void readInput(Connection *connection) {
    while (connection->readable && !connection->dead && connection->phase != ANSWERING) {
        size_t begin = 0;
        if (connection->phase == READING_HEAD && connection->headLength > 0) { // the begin of a head came before
            begin = connection->headLength;
            memcpy(readBuffer, connection->head, begin);
            connection->headLength = 0;
        }
        ssize_t got = recv(connection->fd, readBuffer + begin, READ_BYTES - begin, 0);
        if (got <= 0) {
            if (begin > 0) connection->headLength = begin;
            if (got < 0 && errno == EINTR) continue;
            if (got < 0 && errno == EAGAIN) {
                connection->readable = false;
                return;
            }
            closeConnection(connection);
            return;
        }
        if ((size_t)got < READ_BYTES - begin && !connection->peerClosed) connection->readable = false; // an edge follows when more comes
        take(connection, readBuffer, begin + (size_t)got);
    }
}

static void afterAnswer(Connection *connection) {
    doneAnswering(connection);
    takeKept(connection);
    readInput(connection);
}

static void runDue(Connection *connection) {
    if (connection->streaming) {
        if (connection->frame < connection->frames) {
            uint64_t due = connection->dueNs + connection->paceNs;
            sendFrame(connection);
            if (!connection->dead) schedule(connection, due);
        } else {
            finishStream(connection);
            afterAnswer(connection);
        }
    } else if (connection->delayed) {
        connection->delayed = false;
        sendPlain(connection);
        afterAnswer(connection);
    }
}

static void runWheel(void) {
    uint64_t current = now() / TICK_NS;
    if (current - wheelTick > SLOTS) wheelTick = current - SLOTS; // after a pause longer than a turn, one turn finds everything
    while (wheelTick < current) {
        wheelTick++;
        Connection *connection = wheel[wheelTick % SLOTS];
        while (connection != NULL) {
            Connection *next = connection->next;
            // What is due later than one turn of the wheel passes here more than once.
            if (connection->dueNs <= current * TICK_NS) {
                unschedule(connection);
                runDue(connection);
            }
            connection = next;
        }
    }
}

static void acceptAll(void) {
    for (;;) {
        int fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (fd < 0) {
            if (errno == EINTR || errno == ECONNABORTED) continue;
            if (errno != EAGAIN) perror("accept");
            return;
        }
        int on = 1;
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
        Connection *connection = need(calloc(1, sizeof *connection));
        connection->fd = fd;
        connection->slot = -1;
        counts.accepted++;
        struct epoll_event event = {.events = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET, .data.ptr = connection};
        if (epoll_ctl(poller, EPOLL_CTL_ADD, fd, &event) != 0) closeConnection(connection);
    }
}

static void onSignal(int number) {
    (void)number;
    stopped = 1;
}

static void usage(FILE *file) {
    fputs("upstream: an OpenAI-shaped provider for benchmarks\n"
          "  --host ADDRESS       to listen on (127.0.0.1)\n"
          "  --port PORT          (9900; 0 takes a free one, printed)\n"
          "  --frames N           content frames of a stream (64)\n"
          "  --pace-us N          between two frames, and from the last one to the end of the stream (100000)\n"
          "  --first-us N         from the head of a stream to its first frame (0: at once)\n"
          "  --delay-us N         before a plain answer (0)\n"
          "  --answer-bytes N     text of a plain answer (300)\n",
        file);
}

int main(int count, char **arguments) {
    static const struct option options[] = {{"host", 1, 0, 'h'}, {"port", 1, 0, 'p'}, {"frames", 1, 0, 'f'}, {"pace-us", 1, 0, 'P'},
        {"first-us", 1, 0, 'F'}, {"delay-us", 1, 0, 'd'}, {"answer-bytes", 1, 0, 'a'}, {"help", 0, 0, '?'}, {0, 0, 0, 0}};
    const char *host = "127.0.0.1";
    int port = 9900, option;
    while ((option = getopt_long(count, arguments, "", options, NULL)) != -1) {
        switch (option) {
        case 'h': host = optarg; break;
        case 'p': port = atoi(optarg); break;
        case 'f': settings.frames = (uint32_t)strtoul(optarg, NULL, 10); break;
        case 'P': settings.paceNs = strtoull(optarg, NULL, 10) * 1000; break;
        case 'F': settings.firstNs = strtoull(optarg, NULL, 10) * 1000; break;
        case 'd': settings.delayNs = strtoull(optarg, NULL, 10) * 1000; break;
        case 'a': settings.answerBytes = (uint32_t)strtoul(optarg, NULL, 10); break;
        default: usage(stderr); return 2;
        }
    }
    struct rlimit files;
    if (getrlimit(RLIMIT_NOFILE, &files) == 0) {
        files.rlim_cur = files.rlim_max;
        setrlimit(RLIMIT_NOFILE, &files);
    }
    struct sigaction action = {.sa_handler = onSignal};
    sigaction(SIGTERM, &action, NULL);
    sigaction(SIGINT, &action, NULL);
    signal(SIGPIPE, SIG_IGN);

    listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    int on = 1;
    setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
    if (inet_pton(AF_INET, host, &address.sin_addr) != 1 || bind(listener, (struct sockaddr *)&address, sizeof address) != 0
        || listen(listener, 4096) != 0) {
        fprintf(stderr, "error: cannot listen on %s:%d: %s\n", host, port, strerror(errno));
        return 1;
    }
    socklen_t length = sizeof address;
    getsockname(listener, (struct sockaddr *)&address, &length);
    printf("listening on %s:%d\n", host, ntohs(address.sin_port));
    fflush(stdout);

    prepareFrame();
    preparePlain();
    poller = epoll_create1(EPOLL_CLOEXEC);
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = NULL};
    epoll_ctl(poller, EPOLL_CTL_ADD, listener, &event);
    wheelTick = now() / TICK_NS;

    static struct epoll_event events[EVENTS];
    while (!stopped) {
        int timeout = -1;
        if (waiting > 0) {
            uint64_t time = now(), tick = wheelTick + 1, last = wheelTick + SLOTS;
            while (tick < last && wheel[tick % SLOTS] == NULL) tick++;
            uint64_t due = tick * TICK_NS;
            timeout = due <= time ? 0 : (int)((due - time + TICK_NS - 1) / TICK_NS);
        }
        int ready = epoll_wait(poller, events, EVENTS, timeout);
        if (waiting == 0) wheelTick = now() / TICK_NS; // nothing stands in the slots that passed
        for (int index = 0; index < ready; index++) {
            Connection *connection = events[index].data.ptr;
            if (connection == NULL) {
                acceptAll();
                continue;
            }
            if (connection->dead) continue;
            uint32_t what = events[index].events;
            if (what & (EPOLLERR | EPOLLHUP)) {
                closeConnection(connection);
                continue;
            }
            if (what & EPOLLOUT) flushOutput(connection);
            if (connection->dead) continue;
            if (what & (EPOLLIN | EPOLLRDHUP)) connection->readable = true;
            if (what & EPOLLRDHUP) {
                connection->peerClosed = true;
                if (connection->phase == ANSWERING) { // the caller has gone
                    closeConnection(connection);
                    continue;
                }
            }
            readInput(connection);
        }
        if (waiting > 0) runWheel();
        buryDead();
    }
    return 0;
}

/* mem.c - see mem.h. A counter in front of malloc, and a bump arena in doubling chunks. */
#include "base/mem.h"

#include <stdlib.h>
#include <string.h>

static uint64_t allocations, live, fail_at;

/* One gate for every allocation: counts it and decides whether the test wants it to fail. */
static int may_allocate(void)
{
    allocations++;
#ifdef FS_FAULT
    static int read_environment;
    if (!read_environment) {
        read_environment = 1;
        const char *text = getenv("FABSIM_FAIL_ALLOC");
        if (text)
            fail_at = strtoull(text, NULL, 10);
    }
#endif
    return fail_at == 0 || allocations < fail_at;
}

static void *raw_alloc(size_t bytes)
{
    if (!may_allocate())
        return NULL;
    void *block = malloc(bytes ? bytes : 1);
    live += block != NULL;
    return block;
}

static void *raw_realloc(void *block, size_t bytes)
{
    if (block == NULL)
        return raw_alloc(bytes);
    return may_allocate() ? realloc(block, bytes ? bytes : 1) : NULL;
}

static int product(size_t count, size_t size, size_t *bytes)
{
    return !__builtin_mul_overflow(count, size, bytes) && *bytes <= PTRDIFF_MAX;
}

void *fs_alloc(size_t count, size_t size)
{
    size_t bytes;
    return product(count, size, &bytes) ? raw_alloc(bytes) : NULL;
}

void *fs_zalloc(size_t count, size_t size)
{
    size_t bytes;
    void *block = product(count, size, &bytes) ? raw_alloc(bytes) : NULL;
    if (block)
        memset(block, 0, bytes ? bytes : 1);
    return block;
}

void *fs_realloc(void *block, size_t count, size_t size)
{
    size_t bytes;
    return product(count, size, &bytes) ? raw_realloc(block, bytes) : NULL;
}

void fs_free(void *block)
{
    live -= block != NULL;
    free(block);
}

char *fs_strdup(const char *text)
{
    size_t length = strlen(text) + 1;
    char *copy = raw_alloc(length);
    return copy ? memcpy(copy, text, length) : NULL;
}

void fs_mem_fail_after(uint64_t n)
{
    fail_at = n ? allocations + n : 0;
}

uint64_t fs_mem_allocations(void)
{
    return allocations;
}

uint64_t fs_mem_live(void)
{
    return live;
}

enum { ARENA_FIRST_CHUNK = 4096, ARENA_LARGEST_CHUNK = 1 << 20 }; /* bytes; bounds waste to 1 MiB */

typedef struct chunk {
    struct chunk *next;
    size_t used, size; /* bytes of data[] */
    max_align_t data[];
} chunk;

struct fs_arena {
    chunk *head;
    size_t bytes, next_chunk;
};

fs_arena *fs_arena_new(void)
{
    fs_arena *arena = fs_zalloc(1, sizeof *arena);
    if (arena)
        arena->next_chunk = ARENA_FIRST_CHUNK;
    return arena;
}

void fs_arena_free(fs_arena *arena)
{
    if (arena == NULL)
        return;
    for (chunk *c = arena->head; c != NULL;) {
        chunk *next = c->next;
        fs_free(c);
        c = next;
    }
    fs_free(arena);
}

static chunk *add_chunk(fs_arena *arena, size_t bytes)
{
    size_t size = bytes > arena->next_chunk ? bytes : arena->next_chunk;
    if (size > PTRDIFF_MAX - sizeof(chunk))
        return NULL;
    chunk *c = raw_alloc(sizeof *c + size);
    if (c == NULL)
        return NULL;
    memset(c->data, 0, size);
    c->used = 0;
    c->size = size;
    if (arena->next_chunk < ARENA_LARGEST_CHUNK)
        arena->next_chunk *= 2;
    arena->bytes += sizeof *c + size;
    /* A chunk made for one large block goes behind the head, which may still have room. */
    if (arena->head != NULL && bytes >= arena->next_chunk) {
        c->next = arena->head->next;
        arena->head->next = c;
    } else {
        c->next = arena->head;
        arena->head = c;
    }
    return c;
}

void *fs_arena_alloc(fs_arena *arena, size_t count, size_t size)
{
    size_t bytes, align = sizeof(max_align_t);
    if (!product(count, size, &bytes) || bytes > PTRDIFF_MAX - align)
        return NULL;
    bytes = (bytes + align - 1) / align * align;
    chunk *c = arena->head;
    if (c == NULL || c->size - c->used < bytes)
        c = add_chunk(arena, bytes);
    if (c == NULL)
        return NULL;
    void *block = (char *)c->data + c->used;
    c->used += bytes;
    return block;
}

char *fs_arena_strndup(fs_arena *arena, const char *text, size_t length)
{
    char *copy = fs_arena_alloc(arena, length + 1, 1);
    return copy ? memcpy(copy, text, length) : NULL; /* the arena is zeroed: the end is there */
}

char *fs_arena_strdup(fs_arena *arena, const char *text)
{
    return fs_arena_strndup(arena, text, strlen(text));
}

size_t fs_arena_bytes(const fs_arena *arena)
{
    return arena->bytes;
}

void *fs_vec_grow(void *data, uint32_t count, uint32_t *capacity, size_t size)
{
    if (count < *capacity || count >= UINT32_MAX / 2)
        return data;
    uint32_t wanted = *capacity ? *capacity * 2 : 8;
    void *grown = fs_realloc(data, wanted, size);
    if (grown == NULL)
        return data;
    *capacity = wanted;
    return grown;
}

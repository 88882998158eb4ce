/* mem.h - allocation: checked sizes, an injectable failure, arenas.
 *
 * All memory of fabsim's C code, and of libxml2 through its hooks, comes from here, so that
 * tests can make allocation number 1, 2, 3, ... fail. Sizes are products checked for overflow. NULL
 * means that memory ran out (or that the test said so); a count of 0 yields a valid pointer. */
#ifndef FS_MEM_H
#define FS_MEM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

void *fs_alloc(size_t count, size_t size);                /* uninitialised */
void *fs_zalloc(size_t count, size_t size);               /* zeroed */
void *fs_realloc(void *block, size_t count, size_t size); /* on NULL the old block is still valid */
void fs_free(void *block);
char *fs_strdup(const char *text);

/* libxml2 (mem_xml.c). 2.9.14 neither survives every failed allocation nor frees what it had, so all use of it stands between
 * begin and end. end frees everything that libxml2 made in between, whether or not it was freed one by one; nothing of it
 * may be used after. Inside, call(body, context) returns true; or false where memory ran out in libxml2, whose work is
 * then broken off by a jump out of body: body owns nothing but what libxml2 made, and after a jump nothing of
 * libxml2's in this session may be touched again, not even to free it. Neither nests. */
bool fs_mem_xml_begin(void); /* false: out of memory, and no session has begun */
bool fs_mem_xml_call(void (*body)(void *context), void *context);
void fs_mem_xml_end(void);

/* Test hooks. fail_after(n): the n-th allocation from now fails, and every later one too;
 * 0 = never. Also set by the environment variable FABSIM_FAIL_ALLOC in builds with -DFS_FAULT. */
void fs_mem_fail_after(uint64_t n);
uint64_t fs_mem_allocations(void); /* how many allocations were asked for so far */
uint64_t fs_mem_live(void);        /* blocks that are not freed yet */

/* Arena: allocate many, free all at once. Blocks are aligned for any type and zeroed. */
typedef struct fs_arena fs_arena;
fs_arena *fs_arena_new(void); /* NULL when out of memory */
void fs_arena_free(fs_arena *arena);
void *fs_arena_alloc(fs_arena *arena, size_t count, size_t size);
char *fs_arena_strdup(fs_arena *arena, const char *text);
char *fs_arena_strndup(fs_arena *arena, const char *text, size_t length);
size_t fs_arena_bytes(const fs_arena *arena); /* bytes taken from the system */

/* Growable array: declare `FS_VEC(double) v = {0};`, then FS_PUSH(&v, x) returns a pointer to the
 * new element's slot holding x, or NULL when out of memory. Free with fs_free(v.data). */
#define FS_VEC(type)                                                                                                   \
    struct {                                                                                                           \
        type *data;                                                                                                    \
        uint32_t count;                                                                                                \
        uint32_t capacity;                                                                                             \
    }
void *fs_vec_grow(void *data, uint32_t count, uint32_t *capacity, size_t size); /* old data if it fails */
#define FS_PUSH(vec, value)                                                                                            \
    ((vec)->count < (vec)->capacity                                                                                    \
         ? (void)0                                                                                                     \
         : (void)((vec)->data = fs_vec_grow((vec)->data, (vec)->count, &(vec)->capacity, sizeof *(vec)->data)),        \
     (vec)->count < (vec)->capacity ? ((vec)->data[(vec)->count] = (value), &(vec)->data[(vec)->count++]) : NULL)

#endif

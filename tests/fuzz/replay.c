/* replay.c - runs a fuzz target over the files of its corpus, without a fuzzer: in every build, gcc included.
 * TAP on stdout, so that prove counts the files. */
#include <dirent.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { PATH_BYTES = 4096 };

static int replay(const char *path)
{
    FILE *file = fopen(path, "rb");
    if (file == NULL)
        return -1;
    uint8_t *data = NULL;
    size_t size = 0, capacity = 0, got = 0;
    do {
        size += got;
        if (capacity - size < 4096) {
            capacity = capacity ? capacity * 2 : 65536;
            uint8_t *grown = realloc(data, capacity);
            if (grown == NULL)
                abort();
            data = grown;
        }
    } while ((got = fread(data + size, 1, capacity - size, file)) > 0);
    fclose(file);
    /* An exact copy, so that the address sanitizer sees a read past the end. */
    uint8_t *exact = malloc(size ? size : 1);
    if (exact == NULL)
        abort();
    if (size)
        memcpy(exact, data, size);
    free(data);
    LLVMFuzzerTestOneInput(exact, size);
    free(exact);
    return 0;
}

int main(int argc, char **argv)
{
    if (argc != 2) {
        fprintf(stderr, "usage: %s CORPUS\n", argv[0]);
        return 2;
    }
    struct dirent **entries = NULL;
    int count = scandir(argv[1], &entries, NULL, alphasort);
    if (count < 0) {
        perror(argv[1]);
        return 1;
    }
    int number = 0, failed = 0;
    for (int i = 0; i < count; i++) {
        char path[PATH_BYTES];
        if (entries[i]->d_name[0] != '.') {
            snprintf(path, sizeof path, "%s/%s", argv[1], entries[i]->d_name);
            int bad = replay(path);
            failed += bad != 0;
            printf("%sok %d - %s\n", bad ? "not " : "", ++number, entries[i]->d_name);
            fflush(stdout);
        }
        free(entries[i]);
    }
    free(entries);
    printf("1..%d\n", number);
    return failed != 0;
}

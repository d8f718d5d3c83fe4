/*
 * Preloaded into nfs-ganesha 9.14: every block of malloc() is followed by a zero byte.
 *
 * Its name2id() (src/idmapper/idmapper.c) takes the owner string out of a SETATTR with memcpy(to, from, length + 1),
 * where it means to end it with a zero: it copies the byte after the attributes instead, which lie in a block of
 * exactly their size. When that byte is not zero, and the last string's length is a multiple of four (uid 1000!),
 * "1000" does not read as a number, the chown fails with NFS4ERR_BADOWNER, and the Linux client then maps the owners of
 * the whole mount by name, to nobody. Remove this file when the packaged Ganesha ends the string itself.
 */
#include <stddef.h>

extern void *__libc_malloc(size_t size);

void *malloc(size_t size)
{
    char *block = __libc_malloc(size + 1 ? size + 1 : size);

    if (block != NULL && size + 1 != 0)
        block[size] = '\0';
    return block;
}

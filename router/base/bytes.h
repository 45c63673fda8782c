/* bytes.h - integers to and from bytes, and variable-length integers, as every record on disk uses them. */
#ifndef SLUICE_BASE_BYTES_H
#define SLUICE_BASE_BYTES_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

static inline void put_be64(void *p, uint64_t v) { v = __builtin_bswap64(v); memcpy(p, &v, 8); }
static inline void put_be32(void *p, uint32_t v) { v = __builtin_bswap32(v); memcpy(p, &v, 4); }
static inline uint64_t get_be64(const void *p) { uint64_t v; memcpy(&v, p, 8); return __builtin_bswap64(v); }
static inline uint32_t get_be32(const void *p) { uint32_t v; memcpy(&v, p, 4); return __builtin_bswap32(v); }
static inline void put_le64(void *p, uint64_t v) { memcpy(p, &v, 8); }
static inline void put_le32(void *p, uint32_t v) { memcpy(p, &v, 4); }
static inline void put_le16(void *p, uint16_t v) { memcpy(p, &v, 2); }
static inline uint64_t get_le64(const void *p) { uint64_t v; memcpy(&v, p, 8); return v; }
static inline uint32_t get_le32(const void *p) { uint32_t v; memcpy(&v, p, 4); return v; }
static inline uint16_t get_le16(const void *p) { uint16_t v; memcpy(&v, p, 2); return v; }

#if __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__
#error "records on disk are little-endian; a big-endian port must swap in bytes.h"
#endif

#endif

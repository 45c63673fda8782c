/* lib_crypto.c - `crypto`: digests, signatures and the encodings that go with them. OpenSSL does the work.
 *
 * Digests and signatures are raw bytes; hex, base64 and base64url make text of them. Nothing of OpenSSL is held while Lua may raise. */
#include <openssl/bio.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/pem.h>
#include <string.h>

#include "base/arena.h"
#include "transforms/libraries.h"

/* A signature costs about a millisecond, which is many instructions. */
#define SIGN_STEPS 200000
/* Of a key of 4096 bits, whose PEM has 3.3 kB. Longer ones would sign for longer than a script may take. */
#define SIGNATURE_MAX 512
#define PEM_MAX 4096

RAISES static const char *bytes(lua_State *L, int arg, size_t *n)
{
	const char *s = luaL_checklstring(L, arg, n);

	vm_charge(L, (int64_t)(*n / 8) + 50);
	return s;
}

RAISES static int digest(lua_State *L, const EVP_MD *kind)
{
	unsigned char out[EVP_MAX_MD_SIZE];
	unsigned len = 0;
	size_t n;
	const char *s = bytes(L, 1, &n);

	if (!EVP_Digest(s, n, out, &len, kind, NULL))
		return luaL_error(L, "this digest is not available");
	lua_pushlstring(L, (const char *)out, len);
	return 1;
}

static int sha256(lua_State *L)
{
	return digest(L, EVP_sha256());
}

static int sha1(lua_State *L)
{
	return digest(L, EVP_sha1());
}

static int md5(lua_State *L)
{
	return digest(L, EVP_md5());
}

/* hmac_sha256(key, data) */
static int hmac_sha256(lua_State *L)
{
	unsigned char out[EVP_MAX_MD_SIZE];
	unsigned len = 0;
	size_t klen, n;
	const char *key = luaL_checklstring(L, 1, &klen), *s = bytes(L, 2, &n);

	luaL_argcheck(L, klen < INT32_MAX, 1, "too long");
	if (!HMAC(EVP_sha256(), key, (int)klen, (const unsigned char *)s, n, out, &len))
		return luaL_error(L, "HMAC failed");
	lua_pushlstring(L, (const char *)out, len);
	return 1;
}

/* A key under a passphrase has none here: deriving a key from one takes as long as the file wants it to. */
static int no_passphrase(char *p, int size, int writing, void *arg)
{
	(void)p, (void)size, (void)writing, (void)arg;
	return -1;
}

/* The signature's length, 0 when the key cannot be read, -1 when it cannot sign. */
static int sign(const char *pem, size_t plen, const char *s, size_t n, unsigned char out[SIGNATURE_MAX])
{
	BIO *bio = BIO_new_mem_buf(pem, (int)plen);
	EVP_PKEY *key = bio ? PEM_read_bio_PrivateKey(bio, NULL, no_passphrase, NULL) : NULL;
	EVP_MD_CTX *md = EVP_MD_CTX_new();
	size_t len = SIGNATURE_MAX;
	int result = 0;

	if (key && md && EVP_PKEY_base_id(key) == EVP_PKEY_RSA)
		result = EVP_DigestSignInit(md, NULL, EVP_sha256(), NULL, key) == 1 && (size_t)EVP_PKEY_size(key) <= SIGNATURE_MAX &&
			EVP_DigestSign(md, out, &len, (const unsigned char *)s, n) == 1 ? (int)len : -1;
	EVP_MD_CTX_free(md);
	EVP_PKEY_free(key);
	BIO_free(bio);
	return result;
}

/* sign_rs256(private key as PEM, data) */
static int sign_rs256(lua_State *L)
{
	unsigned char out[SIGNATURE_MAX];
	size_t plen, n;
	const char *pem = luaL_checklstring(L, 1, &plen), *s = bytes(L, 2, &n);

	vm_charge(L, SIGN_STEPS);
	luaL_argcheck(L, plen <= PEM_MAX, 1, "too long for a key: 4096 bits are the most");
	int len = sign(pem, plen, s, n, out);
	if (len == 0)
		return luaL_argerror(L, 1, "not an RSA private key in PEM form, without a passphrase");
	if (len < 0)
		return luaL_error(L, "signing failed");
	lua_pushlstring(L, (const char *)out, (size_t)len);
	return 1;
}

RAISES static int to_base64(lua_State *L, bool url)
{
	size_t n;
	const char *s = bytes(L, 1, &n);
	luaL_Buffer b;

	char *p = luaL_buffinitsize(L, &b, (n + 2) / 3 * 4 + 1);
	int len = EVP_EncodeBlock((unsigned char *)p, (const unsigned char *)s, (int)n);
	if (url) {
		while (len > 0 && p[len - 1] == '=')
			len--;
		for (int i = 0; i < len; i++)
			p[i] = p[i] == '+' ? '-' : p[i] == '/' ? '_' : p[i];
	}
	luaL_pushresultsize(&b, (size_t)len);
	return 1;
}

static int base64(lua_State *L)
{
	return to_base64(L, false);
}

static int base64url(lua_State *L)
{
	return to_base64(L, true);
}

static int value_of(char c)
{
	if (c >= 'A' && c <= 'Z')
		return c - 'A';
	if (c >= 'a' && c <= 'z')
		return c - 'a' + 26;
	if (c >= '0' && c <= '9')
		return c - '0' + 52;
	return c == '+' || c == '-' ? 62 : c == '/' || c == '_' ? 63 : -1;
}

/* Either alphabet, padded or not; nil for what is neither. */
static int unbase64(lua_State *L)
{
	size_t n, len = 0;
	const char *s = bytes(L, 1, &n);
	unsigned held = 0, bits = 0;
	luaL_Buffer b;

	while (n > 0 && s[n - 1] == '=')
		n--;
	char *p = luaL_buffinitsize(L, &b, n / 4 * 3 + 3);
	for (size_t i = 0; i < n; i++) {
		int v = value_of(s[i]);
		if (v < 0 || n % 4 == 1) {
			luaL_pushresultsize(&b, 0);
			lua_pushnil(L);
			return 1;
		}
		held = (held << 6 | (unsigned)v) & 0xFFFF;
		bits += 6;
		if (bits >= 8)
			p[len++] = (char)(held >> (bits -= 8));
	}
	luaL_pushresultsize(&b, len);
	return 1;
}

static int hex(lua_State *L)
{
	static const char digits[] = "0123456789abcdef";
	size_t n;
	const char *s = bytes(L, 1, &n);
	luaL_Buffer b;

	char *p = luaL_buffinitsize(L, &b, n * 2);
	for (size_t i = 0; i < n; i++) {
		p[2 * i] = digits[(unsigned char)s[i] >> 4];
		p[2 * i + 1] = digits[s[i] & 15];
	}
	luaL_pushresultsize(&b, n * 2);
	return 1;
}

RAISES void crypto_open(lua_State *L)
{
	static const luaL_Reg functions[] = { { "sha256", sha256 }, { "sha1", sha1 }, { "md5", md5 }, { "hmac_sha256", hmac_sha256 }, { "sign_rs256", sign_rs256 },
		{ "base64", base64 }, { "base64url", base64url }, { "unbase64", unbase64 }, { "hex", hex }, { NULL, NULL } };

	luaL_newlib(L, functions);
}

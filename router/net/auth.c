/* auth.c - comparing and reading credentials. */
#include "net/auth.h"

#include <stdint.h>
#include <string.h>
#include <strings.h>

#include "base/buf.h"

bool auth_equal(const char *secret, size_t secret_n, const char *shown, size_t n)
{
	volatile unsigned char differ = 0; /* volatile: no early end that a compiler might find */

	if (secret_n != n || n == 0)
		return false;
	for (size_t i = 0; i < n; i++)
		differ |= (unsigned char)(secret[i] ^ shown[i]);
	return differ == 0;
}

bool auth_scheme(const char *value, size_t n, const char *scheme, const char **p, size_t *cn)
{
	size_t k = strlen(scheme);

	if (!value || n <= k || strncasecmp(value, scheme, k) != 0 || value[k] != ' ')
		return false;
	while (k < n && value[k] == ' ')
		k++;
	while (n > k && (value[n - 1] == ' ' || value[n - 1] == '\t'))
		n--;
	*p = value + k;
	*cn = n - k;
	return n > k;
}

void auth_base64_add(struct buf *out, const char *p, size_t n)
{
	static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
	const unsigned char *s = (const unsigned char *)p;

	for (size_t i = 0; i < n; i += 3) {
		uint32_t v = (uint32_t)s[i] << 16 | (i + 1 < n ? (uint32_t)s[i + 1] << 8 : 0) | (i + 2 < n ? s[i + 2] : 0u);

		buf_addc(out, digits[v >> 18]);
		buf_addc(out, digits[v >> 12 & 63]);
		buf_addc(out, i + 1 < n ? digits[v >> 6 & 63] : '=');
		buf_addc(out, i + 2 < n ? digits[v & 63] : '=');
	}
}

static int base64_digit(unsigned char c)
{
	if (c >= 'A' && c <= 'Z')
		return c - 'A';
	if (c >= 'a' && c <= 'z')
		return c - 'a' + 26;
	if (c >= '0' && c <= '9')
		return c - '0' + 52;
	return c == '+' ? 62 : c == '/' ? 63 : -1;
}

int auth_basic(const char *value, size_t n, struct buf *out, size_t *user_n)
{
	size_t before = out->len, cn, digits = 0;
	const char *p, *colon;
	uint32_t bits = 0;

	if (!auth_scheme(value, n, "Basic", &p, &cn))
		return -1;
	while (cn > 0 && p[cn - 1] == '=')
		cn--;
	buf_reserve(out, cn);
	for (size_t i = 0; i < cn; i++) {
		int d = base64_digit((unsigned char)p[i]);

		if (d < 0)
			goto bad;
		bits = bits << 6 | (uint32_t)d;
		if (++digits % 4 != 1)
			buf_addc(out, (char)(bits >> (6 - 2 * ((digits - 1) % 4))));
	}
	if (digits % 4 == 1 || memchr(out->p + before, '\0', out->len - before))
		goto bad;
	colon = memchr(out->p + before, ':', out->len - before);
	if (!colon)
		goto bad;
	*user_n = (size_t)(colon - (out->p + before));
	out->p[before + *user_n] = '\0';
	return 0;
bad:
	out->len = before;
	if (out->p)
		out->p[before] = '\0';
	return -1;
}

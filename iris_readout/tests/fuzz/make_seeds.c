/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Seeds for the fuzz targets, written without CFITSIO: tiny valid raw reads and
 * references for the command, bytes of every kind for the API.
 *
 *     make_seeds FOLDER    makes FOLDER/api and FOLDER/command
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

enum { BLOCK = 2880, CARD = 80, ROOM = 1 << 18, NX = 8, NY = 6, NREAD = 4 };

/* A file as it grows. */
typedef struct bytes {
	unsigned char at[ROOM];
	size_t size;
} bytes;

static void append(bytes *b, const void *from, size_t size)
{
	if (b->size + size > ROOM)
		abort();
	memcpy(b->at + b->size, from, size);
	b->size += size;
}

/* Fill up to a whole block. */
static void pad(bytes *b, size_t begin, int with)
{
	while ((b->size - begin) % BLOCK != 0) {
		const unsigned char c = (unsigned char)with;

		append(b, &c, 1);
	}
}

static void card(bytes *b, const char *text)
{
	char line[CARD + 1];

	(void)snprintf(line, sizeof(line), "%-80.80s", text);
	append(b, line, CARD);
}

static void number(bytes *b, const char *name, long value)
{
	char text[CARD + 1];

	(void)snprintf(text, sizeof(text), "%-8s= %20ld", name, value);
	card(b, text);
}

static void word(bytes *b, const char *name, const char *value)
{
	char text[CARD + 1];

	(void)snprintf(text, sizeof(text), "%-8s= '%-8s'", name, value);
	card(b, text);
}

static void big_endian(bytes *b, uint32_t value, int size)
{
	unsigned char four[4];
	int i;

	for (i = 0; i < size; i++)
		four[i] = (unsigned char)(value >> 8 * (size - 1 - i));
	append(b, four, (size_t)size);
}

/* --- raw reads ----------------------------------------------------------- */

static void identity(bytes *b)
{
	word(b, "OBS_ID", "2026B-P001-001");
	word(b, "DETECTOR", "IMG1");
	number(b, "EXP_NO", 1);
	number(b, "RAMP_NO", 1);
	word(b, "IMTYPE", "SCI");
	word(b, "SAMPMODE", "UTR");
	number(b, "NFOWLER", 2);
	card(b, "GAIN    =                 3.04 / [electron/DN]");
	card(b, "READNOIS=                  9.0");
	number(b, "SATURATE", 50000);
	number(b, "DETSIZE1", NX);
	number(b, "DETSIZE2", NY);
	number(b, "NOUTPUTS", 2);
	number(b, "REFPIX", 1);
	word(b, "SUBARRAY", "FULL");
	number(b, "SUBARRID", 0);
	number(b, "SUBSTRT1", 1);
	number(b, "SUBSTRT2", 1);
	number(b, "NUMRAMPS", 1);
	number(b, "NUMREADS", NREAD);
	number(b, "RST_TIME", 1000000);
}

static void header(bytes *b, int naxis)
{
	card(b, "SIMPLE  =                    T");
	number(b, "BITPIX", 16);
	number(b, "NAXIS", naxis);
	number(b, "NAXIS1", NX);
	number(b, "NAXIS2", NY);
	if (naxis == 3)
		number(b, "NAXIS3", NREAD);
	card(b, "EXTEND  =                    T");
	number(b, "BZERO", 32768);
	number(b, "BSCALE", 1);
	identity(b);
}

static void counts(bytes *b, int k)
{
	int i;

	for (i = 0; i < NX * NY; i++)
		big_endian(b, (uint32_t)(1000 + 50 * k + i % 5
					 + (i == 20 && k > 1 ? 900 : 0)
					 + (i == 30 ? 15000 * k : 0))
			   ^ 0x8000u, 2);
}

static void single_read(bytes *b, int k)
{
	const size_t begin = b->size;

	header(b, 2);
	number(b, "READ_NO", k + 1);
	number(b, "READTIME", 1000000 + 1400000 * (k + 1));
	card(b, "COMMENT a read");
	card(b, "HIERARCH IRIS TEMP = 77.0");
	card(b, "END");
	pad(b, begin, ' ');
	counts(b, k);
	pad(b, begin, 0);
}

static void times_table(bytes *b)
{
	const size_t begin = b->size;
	int k;

	card(b, "XTENSION= 'BINTABLE'");
	number(b, "BITPIX", 8);
	number(b, "NAXIS", 2);
	number(b, "NAXIS1", 8);
	number(b, "NAXIS2", NREAD);
	number(b, "PCOUNT", 0);
	number(b, "GCOUNT", 1);
	number(b, "TFIELDS", 2);
	word(b, "TTYPE1", "READ_NO");
	word(b, "TFORM1", "J");
	word(b, "TTYPE2", "READTIME");
	word(b, "TFORM2", "J");
	word(b, "EXTNAME", "TIMES");
	card(b, "END");
	pad(b, begin, ' ');
	for (k = 0; k < NREAD; k++) {
		big_endian(b, (uint32_t)(k + 1), 4);
		big_endian(b, (uint32_t)(1000000 + 1400000 * (k + 1)), 4);
	}
	pad(b, begin, 0);
}

static void cube(bytes *b, int table)
{
	const size_t begin = b->size;
	int k;

	header(b, 3);
	if (!table)
		card(b, "TFRAME  =                  1.4");
	card(b, "END");
	pad(b, begin, ' ');
	for (k = 0; k < NREAD; k++)
		counts(b, k);
	pad(b, begin, 0);
	if (table)
		times_table(b);
}

/* --- references ---------------------------------------------------------- */

static void plane(bytes *b, const char *name, int bitpix, int depth,
		  uint32_t value)
{
	const size_t begin = b->size;
	int i;

	card(b, "XTENSION= 'IMAGE   '");
	number(b, "BITPIX", bitpix);
	number(b, "NAXIS", depth > 1 ? 3 : 2);
	number(b, "NAXIS1", NX);
	number(b, "NAXIS2", NY);
	if (depth > 1)
		number(b, "NAXIS3", depth);
	number(b, "PCOUNT", 0);
	number(b, "GCOUNT", 1);
	word(b, "EXTNAME", name);
	card(b, "END");
	pad(b, begin, ' ');
	for (i = 0; i < NX * NY * depth; i++)
		big_endian(b, i == NX * NY * (depth > 1) + 9 ? 0 : value, 4);
	pad(b, begin, 0);
}

static void reference(bytes *b, const char *type)
{
	const size_t begin = b->size;

	card(b, "SIMPLE  =                    T");
	number(b, "BITPIX", 8);
	number(b, "NAXIS", 0);
	card(b, "EXTEND  =                    T");
	word(b, "REFTYPE", type);
	word(b, "DETECTOR", "IMG1");
	word(b, "REFVER", "0001");
	card(b, "END");
	pad(b, begin, ' ');
}

/* --- gzip ---------------------------------------------------------------- */

static uint32_t crc32_of(const unsigned char *at, size_t size)
{
	uint32_t crc = 0xffffffffu;
	size_t i;
	int bit;

	for (i = 0; i < size; i++) {
		crc ^= at[i];
		for (bit = 0; bit < 8; bit++)
			crc = crc >> 1 ^ (crc & 1 ? 0xedb88320u : 0);
	}
	return ~crc;
}

static void little_endian(bytes *b, uint32_t value, int size)
{
	int i;

	for (i = 0; i < size; i++) {
		const unsigned char c = (unsigned char)(value >> 8 * i);

		append(b, &c, 1);
	}
}

/* Bits from the lowest of each byte on. */
typedef struct bits {
	bytes *to;
	uint32_t kept;
	int count;
} bits;

static void put_bits(bits *b, uint32_t value, int count)
{
	b->kept |= value << b->count;
	for (b->count += count; b->count >= 8; b->count -= 8) {
		const unsigned char c = (unsigned char)b->kept;

		append(b->to, &c, 1);
		b->kept >>= 8;
	}
}

/* A Huffman code comes with its highest bit first. */
static void put_code(bits *b, uint32_t code, int count)
{
	while (count-- > 0)
		put_bits(b, code >> count & 1, 1);
}

static void put_literal(bits *b, unsigned value)
{
	if (value < 144)
		put_code(b, 0x30 + value, 8);
	else
		put_code(b, 0x190 + value - 144, 9);
}

/* Fixed Huffman codes and runs of 258 equal bytes (RFC 1951). */
static void deflate(bytes *to, const bytes *from)
{
	bits b = {to, 0, 0};
	size_t i = 0, run;

	put_bits(&b, 3, 3);
	while (i < from->size) {
		put_literal(&b, from->at[i++]);
		for (run = 0; i + run < from->size && run < 258
		     && from->at[i + run] == from->at[i - 1]; run++)
			;
		if (run == 258) {
			put_code(&b, 0xc5, 8);
			put_code(&b, 0, 5);
			i += run;
		}
	}
	put_code(&b, 0, 7);
	put_bits(&b, 0, 7);
}

static void gzip(bytes *b, const bytes *from)
{
	append(b, "\x1f\x8b\x08\0\0\0\0\0\0\xff", 10);
	deflate(b, from);
	little_endian(b, crc32_of(from->at, from->size), 4);
	little_endian(b, (uint32_t)from->size, 4);
}

/* --- seeds --------------------------------------------------------------- */

static void save(const char *folder, const char *target, const char *name,
		 const bytes *b)
{
	char path[4096];
	FILE *file;

	(void)snprintf(path, sizeof(path), "%s/%s/%s", folder, target, name);
	file = fopen(path, "wb");
	if (file == NULL || fwrite(b->at, 1, b->size, file) != b->size
	    || fclose(file) != 0) {
		perror(path);
		exit(1);
	}
}

static void begin(bytes *b, const char *options)
{
	b->size = 0;
	append(b, options, 4);
}

static void command_reads(const char *folder, bytes *b)
{
	static bytes plain;
	int k;

	begin(b, "\3\0\0\0");
	for (k = NREAD; k-- > 0;)
		single_read(b, k);
	save(folder, "command", "reads", b);
	begin(b, "\1\0\0\0");
	cube(b, 0);
	save(folder, "command", "cube", b);
	begin(b, "\2\3\0\4");
	cube(b, 1);
	save(folder, "command", "cube-with-times", b);
	plain.size = 0;
	cube(&plain, 1);
	begin(b, "\0\20\0\1");
	gzip(b, &plain);
	save(folder, "command", "gzip", b);
}

static void command_references(const char *folder, bytes *b)
{
	begin(b, "\0\0\1\0");
	cube(b, 0);
	reference(b, "GAIN");
	plane(b, "SCI", -32, 1, 0x40400000u);
	save(folder, "command", "gain", b);
	begin(b, "\0\0\4\0");
	cube(b, 0);
	reference(b, "LINEARITY");
	plane(b, "COEFFS", -32, 3, 0x3f800000u);
	plane(b, "LIMIT", -32, 1, 0x47000000u);
	plane(b, "PEDESTAL", -32, 1, 0x42000000u);
	save(folder, "command", "linearity", b);
	begin(b, "\0\0\5\0");
	cube(b, 0);
	reference(b, "DQ");
	plane(b, "DQ", 32, 1, 0);
	save(folder, "command", "bad-pixels", b);
	begin(b, "\0\0\24\0");
	cube(b, 0);
	reference(b, "SATURATION");
	plane(b, "SCI", -32, 1, 0x46c35000u);
	reference(b, "READNOISE");
	plane(b, "SCI", -32, 1, 0x41100000u);
	save(folder, "command", "two-references", b);
}

/* Bytes of a fixed sequence; more of them zero the higher `calm`. */
static void api_seed(const char *folder, bytes *b, unsigned seed,
		     unsigned calm)
{
	uint64_t state = seed;
	char name[32];
	int i;

	b->size = 0;
	for (i = 0; i < 400; i++) {
		unsigned char c;

		state = state * 6364136223846793005u + 1442695040888963407u;
		c = (unsigned char)(state >> 56);
		if ((state >> 40) % 8 < calm)
			c = 0;
		append(b, &c, 1);
	}
	(void)snprintf(name, sizeof(name), "seed-%u-%u", calm, seed);
	save(folder, "api", name, b);
}

static void make_folder(const char *folder, const char *target)
{
	char path[4096];

	(void)snprintf(path, sizeof(path), "%s/%s", folder, target);
	(void)mkdir(path, 0777);
}

int main(int argc, char **argv)
{
	static bytes b;
	unsigned seed;

	if (argc != 2) {
		(void)fprintf(stderr, "usage: make_seeds FOLDER\n");
		return 2;
	}
	(void)mkdir(argv[1], 0777);
	make_folder(argv[1], "api");
	make_folder(argv[1], "command");
	for (seed = 0; seed < 64; seed++)
		api_seed(argv[1], &b, seed, seed % 6);
	command_reads(argv[1], &b);
	command_references(argv[1], &b);
	return 0;
}

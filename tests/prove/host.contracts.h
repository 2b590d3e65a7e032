// host.contracts.h: the contracts of what host.c keeps to itself.
//
// clang-format off

static uint32_t hex_value(char c)
    ASSIGNS()
    ENSURES(RESULT <= 16)
    ENSURES((RESULT < 10) == (c >= 0x30 && c <= 0x39))
    ENSURES(IMPLIES(RESULT < 10, RESULT == c - 0x30));

static bool read_octet(const char *host, size_t host_len, size_t *pos,
                       uint32_t *out_octet)
    REQUIRES(IS_HOST(host, host_len) && IS_OUT(pos) && *pos <= host_len)
    REQUIRES(IS_OUT(out_octet))
    ASSIGNS(*pos, *out_octet)
    ENSURES(*pos >= OLD(*pos) && *pos <= host_len && *pos - OLD(*pos) <= 3)
    ENSURES(IMPLIES(RESULT, *pos > OLD(*pos) && *out_octet <= 255));

static bool read_ipv4(const char *host, size_t host_len, uint32_t *out)
    REQUIRES(IS_HOST(host, host_len) && IS_OUT(out))
    ASSIGNS(*out)
    ENSURES(IMPLIES(RESULT, host_len >= 7 && host_len <= 15));

static bool begins_label(const char *host, size_t pos)
    REQUIRES(pos <= PV_PROVED_LEN_MAX && FRESH(host, pos))
    ASSIGNS()
    ENSURES(IMPLIES(pos == 0, RESULT));

static bool ends_in_number(const char *host, size_t host_len)
    REQUIRES(IS_HOST(host, host_len))
    ASSIGNS()
    ENSURES(IMPLIES(RESULT, host_len > 0));

static bool read_group(const char *host, size_t host_len, size_t *pos,
                       ipv6 *out)
    REQUIRES(IS_HOST(host, host_len) && IS_OUT(pos) && *pos < host_len)
    REQUIRES(IS_OUT(out) && IS_IPV6(out))
    ASSIGNS(*pos, out->num_groups, out->groups)
    ENSURES(*pos >= OLD(*pos) && *pos <= host_len && IS_IPV6(out))
    ENSURES(IMPLIES(RESULT, *pos > OLD(*pos)));

static bool read_colons(const char *host, size_t host_len, size_t *pos,
                        ipv6 *out)
    REQUIRES(IS_HOST(host, host_len) && IS_OUT(pos) && *pos < host_len)
    REQUIRES(IS_OUT(out) && IS_IPV6(out))
    ASSIGNS(*pos, out->gap)
    ENSURES(*pos >= OLD(*pos) && *pos <= host_len && IS_IPV6(out));

static void spread_gap(ipv6 *out)
    REQUIRES(IS_OUT(out) && IS_IPV6(out) && out->gap != 9)
    ASSIGNS(out->groups)
    ENSURES(IMPLIES(some < 8 - out->num_groups,
                    out->groups[out->gap + some] == 0));

static bool read_ipv6(const char *host, size_t host_len, ipv6 *out)
    REQUIRES(IS_HOST(host, host_len) && IS_OUT(out))
    ASSIGNS(*out);

static size_t longest_zeros(const ipv6 *address, size_t *out_start)
    REQUIRES(FRESH(address, sizeof *address) && IS_OUT(out_start))
    ASSIGNS(*out_start)
    ENSURES(RESULT != 1 && RESULT <= 8)
    ENSURES(RESULT == 0 ? *out_start == 8 : *out_start <= 8 - RESULT);

static size_t write_group(char *out, uint32_t group)
    REQUIRES(FRESH(out, 4))
    ASSIGNS(BYTES(out, 4))
    ENSURES(RESULT >= 1 && RESULT <= 4);

static size_t write_ipv6(char *out, const ipv6 *address)
    REQUIRES(FRESH(out, 39) && FRESH(address, sizeof *address))
    ASSIGNS(BYTES(out, 39))
    ENSURES(RESULT >= 2 && RESULT <= 39);

static pv_status write_name(char *out, const char *host, size_t host_len)
    REQUIRES(host_len <= 253 && FRESH(out, host_len) &&
             FRESH(host, host_len))
    ASSIGNS(BYTES(out, host_len))
    ENSURES(IMPLIES(RESULT == PV_OK, host_len > 0))
    ENSURES(IMPLIES(some < host_len && RESULT == PV_OK,
                    IS_CANONICAL(out[some])));

static pv_status canonical(char *out, size_t *out_len, const char *host,
                           size_t host_len)
    REQUIRES(FRESH(out, 254) && IS_OUT(out_len))
    REQUIRES(host_len <= PV_PROVED_LEN_MAX &&
             (host_len == 0 || FRESH(host, host_len)))
    ASSIGNS(*out_len, BYTES(out, 253))
    ENSURES(IMPLIES(RESULT == PV_OK, *out_len > 0 && *out_len <= 253))
    ENSURES(IMPLIES(RESULT != PV_OK, *out_len == OLD(*out_len)));

static bool is_address(const char *host, size_t host_len)
    REQUIRES(IS_HOST(host, host_len))
    ASSIGNS();

static uint8_t count_labels(const char *name, size_t name_len)
    REQUIRES(name_len <= 253 && FRESH(name, name_len))
    ASSIGNS()
    ENSURES(RESULT <= name_len + 1);

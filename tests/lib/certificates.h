#ifndef TEST_CERTIFICATES_H
#define TEST_CERTIFICATES_H

/* Made for tests: two certificates (O=system:masters, CN=admin, of 2020; CN=b, until 2099), their keys,
 * and the CA that signed them. */
static const char a_crt[] = "-----BEGIN CERTIFICATE-----\n"
                            "MIIBITCByQIBATAKBggqhkjOPQQDAjASMRAwDgYDVQQDDAd0ZXN0IGNhMB4XDTIw\n"
                            "MDEwMTAwMDAwMFoXDTIxMDEwMTAwMDAwMFowKTEOMAwGA1UEAwwFYWRtaW4xFzAV\n"
                            "BgNVBAoMDnN5c3RlbTptYXN0ZXJzMFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAE\n"
                            "80TY2fSWX9peMmONMc+fHu5cw4/6RwL4p/aD47UaL/PhlcbkPBW+UvXIzpnF44m9\n"
                            "Mt33exjGgAkM6fVjMA+dmTAKBggqhkjOPQQDAgNHADBEAiBpMTgTMRXV8vuV1kpC\n"
                            "V8VspUPO/HAbJZwGCQcPhnHLPgIgNqXzjjyvK8nkDwceoG0gCJu2a//naV644R43\n"
                            "bQEkEDs=\n"
                            "-----END CERTIFICATE-----\n";

static const char b_crt[] = "-----BEGIN CERTIFICATE-----\n"
                            "MIIBBzCBrgIBAjAKBggqhkjOPQQDAjASMRAwDgYDVQQDDAd0ZXN0IGNhMCAXDTIw\n"
                            "MDEwMTAwMDAwMFoYDzIwOTkwMTAxMDAwMDAwWjAMMQowCAYDVQQDDAFiMFkwEwYH\n"
                            "KoZIzj0CAQYIKoZIzj0DAQcDQgAEOQptkBn7D0DxaMbgisdCTzF3jZCrB7E57HWd\n"
                            "O2d6ADc0EamRvT/Mb7s14E+3kAzlstpgzR+jXkvmV55xviddrzAKBggqhkjOPQQD\n"
                            "AgNIADBFAiEAu7PK3FiWdAWN2hXGVNPqLRamMLL2HVasa/Qxllz+A+MCID1LvIep\n"
                            "/3wEe0nGUMyHym8RxL71gMBdM2HLDy2qJ0UA\n"
                            "-----END CERTIFICATE-----\n";

static const char ca_crt[] = "-----BEGIN CERTIFICATE-----\n"
                             "MIIBejCCASGgAwIBAgIUUEjR+fo1GpDjAu8pGABhcelsDI8wCgYIKoZIzj0EAwIw\n"
                             "EjEQMA4GA1UEAwwHdGVzdCBjYTAgFw0yNjExMjcyMTA1MTRaGA8yMTI2MTEwMzIx\n"
                             "MDUxNFowEjEQMA4GA1UEAwwHdGVzdCBjYTBZMBMGByqGSM49AgEGCCqGSM49AwEH\n"
                             "A0IABCpyQu63oG8zMp9XtbXdsecs6iOlNaN+9q4TS/6aclFeqB9ZdnAwYgTDePoP\n"
                             "X9TVPXxk2dyfHT3A+Fqw00B9wrWjUzBRMB0GA1UdDgQWBBT75APDmjLCtvjjbdMm\n"
                             "CA8hDeXsGDAfBgNVHSMEGDAWgBT75APDmjLCtvjjbdMmCA8hDeXsGDAPBgNVHRMB\n"
                             "Af8EBTADAQH/MAoGCCqGSM49BAMCA0cAMEQCIC775Qf5ZMdHYdZKCw2ni5utZKZK\n"
                             "HK2aWpkOgaqKDUaTAiAp+hF/gvwRHxs+7fIATRZmjLKUIqWVD5sC6P0+XNOzxA==\n"
                             "-----END CERTIFICATE-----\n";

static const char a_key[] = "-----BEGIN EC PRIVATE KEY-----\n"
                            "MHcCAQEEII425TZkXCeqI7QVnhE3azKiuADEBgc/0SIeNJGshJgBoAoGCCqGSM49\n"
                            "AwEHoUQDQgAE80TY2fSWX9peMmONMc+fHu5cw4/6RwL4p/aD47UaL/PhlcbkPBW+\n"
                            "UvXIzpnF44m9Mt33exjGgAkM6fVjMA+dmQ==\n"
                            "-----END EC PRIVATE KEY-----\n";

static const char b_key[] = "-----BEGIN EC PRIVATE KEY-----\n"
                            "MHcCAQEEILS9ttX0FMiTXiyDfWgHnPH0mWJwFj14eGYw2MmrIaunoAoGCCqGSM49\n"
                            "AwEHoUQDQgAEOQptkBn7D0DxaMbgisdCTzF3jZCrB7E57HWdO2d6ADc0EamRvT/M\n"
                            "b7s14E+3kAzlstpgzR+jXkvmV55xviddrw==\n"
                            "-----END EC PRIVATE KEY-----\n";

#endif

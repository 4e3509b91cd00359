import Testing
import Vocabulary

@Suite struct TLSWordsTests {
    @Test func `only the reason is left of an error of TLS`() {
        let text = """
            handshakeFailed(NIOSSL.BoringSSLError.sslError([Error: 268435703 error:100000f7:SSL routines:OPENSSL_internal:WRONG_VERSION_NUMBER \
            at /builds/martlet/.build/checkouts/swift-nio-ssl/Sources/CNIOBoringSSL/ssl/tls_record.cc:127]))
            """
        #expect(tlsWords(in: text) == "wrong version number")
    }

    @Test func `the same reason twice is told once`() {
        let text = "OPENSSL_internal:NO_CIPHER_MATCH at /x, OPENSSL_internal:UNSUPPORTED at /y, OPENSSL_internal:NO_CIPHER_MATCH"
        #expect(tlsWords(in: text) == "no cipher match, unsupported")
    }

    @Test func `other words stay, without paths`() {
        #expect(tlsWords(in: "the name does not match at /a/b.swift:3") == "the name does not match at")
        #expect(tlsWords(in: "uncleanShutdown") == "uncleanShutdown")
    }
}

import Edge
import Testing

@Suite struct OriginFormTests {
    @Test(
        arguments: [
            ("/v1/models?x=1", "/v1/models?x=1", nil), ("*", "*", nil), ("http://a/v1/models", "/v1/models", "a"),
            ("HTTPS://A:443/v1/models?x", "/v1/models?x", "A:443"), ("http://a", "/", "a"), ("http://a?x=1", "/?x=1", "a"),
            ("http://[::1]:80/x", "/x", "[::1]:80"),
        ] as [(String, String, String?)])
    func `paths and URLs are taken`(uri: String, path: String, authority: String?) {
        let form = originForm(of: uri)
        #expect(form?.text == path && form?.authority.map(String.init) == authority)
    }

    @Test(arguments: ["", "x", "m:443", "ftp://a/x", "http:/a", "http://", "http:///x", "http://u@a/x", "http://u:p@a/x"])
    func `anything else is refused`(uri: String) {
        #expect(originForm(of: uri) == nil)
    }

    @Test func `a host is the same in any case, and with the port that goes without saying`() {
        #expect(isSameHost("A.example", "a.EXAMPLE", scheme: "http"))
        #expect(isSameHost("a:80", "a", scheme: "http") && isSameHost("a", "a:443", scheme: "https"))
        #expect(!isSameHost("a:80", "a", scheme: "https") && !isSameHost("a", "b", scheme: "http") && !isSameHost("a:81", "a", scheme: "http"))
    }
}

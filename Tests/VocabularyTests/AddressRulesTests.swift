import Testing
import Vocabulary

@Suite struct AddressRulesTests {
    static let metadata = [
        "169.254.169.254", "169.254.170.2", "169.254.0.0", "fe80::1", "febf::1", "fd00:ec2::254", "fd20:ce::254", "100.100.100.200", "192.0.0.192",
        "168.63.129.16", "::ffff:169.254.169.254", "64:ff9b::169.254.169.254",
    ]

    @Test(arguments: metadata) func `metadata services are out of bounds until the operator says otherwise`(text: String) throws {
        let address = try #require(IPAddress(text))
        #expect(!AddressRules().allows(address))
        #expect(AddressRules(allowsLinkLocal: true).allows(address))
    }

    @Test(arguments: [
        "127.0.0.1", "::1", "10.0.0.1", "172.16.0.1", "192.168.1.1", "fd00::1", "100.64.0.1", "8.8.8.8", "2606:4700::1", "169.253.255.255",
    ])
    func `loopback, private and public addresses are allowed`(text: String) throws {
        #expect(AddressRules().allows(try #require(IPAddress(text))))
    }

    @Test func `what the operator denies is denied, link-local allowed or not`() throws {
        let denied = try ["10.0.0.0/8", "127.0.0.0/8", "169.254.169.254", "fd00::/8"].map { try #require(CIDR($0)) }
        for allows in [false, true] {
            let rules = AddressRules(allowsLinkLocal: allows, denied: denied)
            for text in ["10.2.3.4", "127.0.0.1", "169.254.169.254", "fd00::1", "64:ff9b::10.0.0.1"] {
                #expect(!rules.allows(try #require(IPAddress(text))), "\(text)")
            }
            #expect(rules.allows(try #require(IPAddress("192.168.1.1"))))
        }
        #expect(AddressRules(allowsLinkLocal: true, denied: denied).allows(try #require(IPAddress("169.254.170.2"))))
    }

    @Test func `every range in the table is one`() {
        #expect(AddressRules.linkLocal.count == 7)
    }
}

import NIOCore
import Simulator
import Testing

@Suite struct LimitTests {
    @Test(
        arguments: [
            (0, "0s"), (1, "1ms"), (6_000_000, "6ms"), (120_000_000, "120ms"), (1_000_000_000, "1s"), (8_640_000_000, "8.64s"),
            (90_500_000_000, "1m30.5s"),
            (360_000_000_000, "6m0s"), (3_600_000_000_000, "1h0m0s"), (86_400_000_000_000, "24h0m0s"),
        ] as [(Int64, String)]) func `durations are written as Go writes them`(nanoseconds: Int64, text: String)
    {
        #expect(goDuration(nanoseconds: nanoseconds) == text)
    }

    @Test func `requests are limited for each key, and come back evenly`() {
        let limiter = RateLimiter(requestsPerMinute: 3, tokensPerMinute: nil)
        let start = NIODeadline.now()
        for left in [2, 1, 0] {
            let state = limiter.take("a", tokens: 1, now: start)
            #expect(state.exceeded == nil && state.requests?.limit == 3 && state.requests?.remaining == left && state.tokens == nil)
        }
        let refused = limiter.take("a", tokens: 1, now: start)
        #expect(refused.exceeded == "requests" && refused.retryNanoseconds == 20_000_000_000 && refused.requests?.resetNanoseconds == 60_000_000_000)
        #expect(limiter.take("b", tokens: 1, now: start).exceeded == nil)
        #expect(limiter.take("a", tokens: 1, now: start + .seconds(19)).exceeded == "requests")
        #expect(limiter.take("a", tokens: 1, now: start + .seconds(21)).exceeded == nil)
    }

    @Test func `tokens are limited, and a call larger than the limit takes all of it`() {
        let limiter = RateLimiter(requestsPerMinute: 100, tokensPerMinute: 60)
        let start = NIODeadline.now()
        #expect(limiter.take("a", tokens: 50, now: start).tokens?.remaining == 10)
        let refused = limiter.take("a", tokens: 20, now: start)
        #expect(refused.exceeded == "tokens" && refused.retryNanoseconds == 10_000_000_000 && refused.requests?.remaining == 99)
        #expect(limiter.take("a", tokens: 1000, now: start + .seconds(60)).exceeded == nil)
        #expect(limiter.take("a", tokens: 1, now: start + .seconds(60)).exceeded == "tokens")
    }

    @Test func `distributions are read and drawn`() {
        #expect(Distribution("12.5") == .fixed(12.5) && Distribution("uniform(1, 2)") == .uniform(1, 2))
        for wrong in ["", "x", "-1", "nan", "inf", "uniform(2,1)", "uniform(1)", "uniform(1,2", "poisson(3)", "normal(1,-1)", "1e12"] {
            #expect(Distribution(wrong) == nil, "\(wrong)")
        }
        func mean(_ text: String) -> Double {
            guard let distribution = Distribution(text) else { return .nan }
            var random = SeededRandom(seed: 5)
            return Double(distribution.nanoseconds(of: 20_000, &random)) / 20_000 / 1e6
        }
        #expect(mean("7") == 7)
        #expect((14.5...15.5).contains(mean("uniform(10,20)")))
        #expect((99...101).contains(mean("normal(100,10)")))
        #expect((48...52).contains(mean("exponential(50)")))
        // The mean of a lognormal is its median times e to half the square of sigma.
        #expect((110...117).contains(mean("lognormal(100,0.5)")))
    }
}

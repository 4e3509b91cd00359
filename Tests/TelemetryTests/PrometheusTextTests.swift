import Telemetry
import Testing

@Suite struct `A page of metrics` {
    @Test func `is what Prometheus' format 0.0.4 says`() {
        var page = PrometheusText()
        page.counter(
            name: "llm_requests_total", help: "Calls, by outcome.\nSecond line \\ here.",
            samples: [
                (labels: [("model", "gpt-4o"), ("outcome", "success")], value: Int64(9_007_199_254_740_993)),
                (labels: [("model", "a\"b\\c\nd 🦉"), ("outcome", "refused")], value: Int64(0)),
            ])
        page.gauge(name: "process_uptime_seconds", help: "Uptime.", samples: [(labels: [], value: 1.5)])
        page.gauge(name: "odd", help: "", samples: [(labels: [("k", "nan")], value: Double.nan), (labels: [("k", "inf")], value: -Double.infinity)])
        page.histogram(
            name: "llm_duration_seconds", help: "How long calls take.", bounds: [0.005, 0.1, 2],
            series: [(labels: [("model", "m")], bucketCounts: [1, 0, 2, 4], sum: 12.25), (labels: [], bucketCounts: [0, 0, 0, 0], sum: 0)])
        #expect(
            page.text == #"""
                # HELP llm_requests_total Calls, by outcome.\nSecond line \\ here.
                # TYPE llm_requests_total counter
                llm_requests_total{model="gpt-4o",outcome="success"} 9007199254740993
                llm_requests_total{model="a\"b\\c\nd 🦉",outcome="refused"} 0
                # HELP process_uptime_seconds Uptime.
                # TYPE process_uptime_seconds gauge
                process_uptime_seconds 1.5
                # HELP odd 
                # TYPE odd gauge
                odd{k="nan"} NaN
                odd{k="inf"} -Inf
                # HELP llm_duration_seconds How long calls take.
                # TYPE llm_duration_seconds histogram
                llm_duration_seconds_bucket{model="m",le="0.005"} 1
                llm_duration_seconds_bucket{model="m",le="0.1"} 1
                llm_duration_seconds_bucket{model="m",le="2.0"} 3
                llm_duration_seconds_bucket{model="m",le="+Inf"} 7
                llm_duration_seconds_sum{model="m"} 12.25
                llm_duration_seconds_count{model="m"} 7
                llm_duration_seconds_bucket{le="0.005"} 0
                llm_duration_seconds_bucket{le="0.1"} 0
                llm_duration_seconds_bucket{le="2.0"} 0
                llm_duration_seconds_bucket{le="+Inf"} 0
                llm_duration_seconds_sum 0.0
                llm_duration_seconds_count 0

                """#)
    }

    @Test func `never has a family or a sample twice, since scrapers refuse the page then`() {
        var page = PrometheusText()
        page.counter(name: "a", help: "h", samples: [(labels: [("x", "1")], value: 1), (labels: [("x", "1")], value: 2)])
        page.gauge(name: "a", help: "h", samples: [(labels: [], value: 3)])
        page.histogram(name: "h", help: "h", bounds: [1], series: [(labels: [], bucketCounts: [1, 1], sum: 1)])
        page.counter(name: "h_count", help: "h", samples: [(labels: [], value: 9)])
        let samples = page.text.split(separator: "\n").filter { !$0.hasPrefix("#") }
        #expect(samples == [#"a{x="1"} 1"#, #"h_bucket{le="1.0"} 1"#, #"h_bucket{le="+Inf"} 2"#, "h_sum 1.0", "h_count 2"])
        #expect(page.text.contains("# the family h_count was there already and is left out"))
        #expect(page.text.split(separator: "\n").count { $0.hasPrefix("# TYPE a ") } == 1)
    }

    @Test func `leaves out histograms that do not add up`() {
        var page = PrometheusText()
        page.histogram(name: "falling", help: "h", bounds: [2, 1], series: [])
        page.histogram(name: "endless", help: "h", bounds: [1, .infinity], series: [])
        page.histogram(
            name: "short", help: "h", bounds: [1],
            series: [(labels: [], bucketCounts: [1], sum: 1), (labels: [("a", "b")], bucketCounts: [.max, 1], sum: 1)])
        let samples = page.text.split(separator: "\n").filter { !$0.hasPrefix("#") }
        #expect(samples.first == #"short_bucket{a="b",le="1.0"} 18446744073709551615"#)
        #expect(samples.last == #"short_count{a="b"} 18446744073709551615"#)
        #expect(samples.count == 4)
    }

    @Test func `has only names that the format allows`() {
        var page = PrometheusText()
        page.counter(name: "9 lives-total", help: "h", samples: [(labels: [("a-b:c", "1"), ("", "2")], value: UInt64.max)])
        #expect(page.text.contains("\n_9_lives_total{a_b_c=\"1\",_=\"2\"} 18446744073709551615\n"))
    }

    @Test func `ends at its limit and says so once`() {
        var page = PrometheusText(limitBytes: 2000)
        for family in 0..<100 {
            page.counter(name: "f\(family)", help: "h", samples: (0..<50).map { (labels: [("n", "\($0)")], value: $0) })
        }
        #expect(page.text.utf8.count < 2400)
        #expect(page.text.split(separator: "\n").count { $0.contains("has reached its limit") } == 1)
    }
}

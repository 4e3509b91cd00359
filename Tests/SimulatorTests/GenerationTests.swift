import NIOCore
import Simulator
import Testing

@Suite struct GenerationTests {
    @Test func `words are the same for the same seed and never need escaping`() {
        var first = WordSequence(seed: 11)
        var second = WordSequence(seed: 11)
        var third = WordSequence(seed: 12)
        let words = (0..<2000).map { _ in first.next() }
        #expect(words == (0..<2000).map { _ in second.next() })
        #expect(words != (0..<2000).map { _ in third.next() })
        #expect(
            words.allSatisfy {
                $0.utf8.allSatisfy { byte in byte >= 0x20 && byte < 0x7F && byte != UInt8(ascii: "\"") && byte != UInt8(ascii: "\\") }
            })
    }

    @Test func `words make sentences`() {
        var words = WordSequence(seed: 3)
        let text = (0..<200).map { _ in words.next() }.joined()
        let sentences = text.split(separator: ".")
        #expect(sentences.count > 10)
        #expect(sentences.allSatisfy { $0.drop { $0 == " " }.first?.isUppercase ?? false })
        #expect(!text.contains("  ") && !text.hasPrefix(" "))
    }

    @Test(arguments: [1, 2, 256, 1536])
    func `vectors have length one and are the same for the same text`(dimensions: Int) {
        let vector = EmbeddingVector.make(text: "river", model: "m", dimensions: dimensions)
        #expect(vector.count == dimensions)
        #expect(abs(vector.reduce(0) { $0 + $1 * $1 } - 1) < 1e-4)
        #expect(vector == EmbeddingVector.make(text: "river", model: "m", dimensions: dimensions))
    }

    @Test func `vectors of different texts and models point elsewhere`() {
        func cosine(_ left: [Float], _ right: [Float]) -> Float { zip(left, right).reduce(0) { $0 + $1.0 * $1.1 } }
        let vector = EmbeddingVector.make(text: "river", model: "m", dimensions: 512)
        #expect(abs(cosine(vector, EmbeddingVector.make(text: "delta", model: "m", dimensions: 512))) < 0.2)
        #expect(abs(cosine(vector, EmbeddingVector.make(text: "river", model: "n", dimensions: 512))) < 0.2)
    }

    @Test(arguments: [([], ""), ([1], "AACAPw=="), ([1, -2], "AACAPwAAAMA="), ([0.5, 0, 1], "AAAAPwAAAAAAAIA/")] as [([Float], String)])
    func `base64 is that of little-endian bytes`(vector: [Float], text: String) {
        var buffer = ByteBuffer()
        buffer.writeBase64(vector)
        #expect(String(buffer: buffer) == text)
    }
}

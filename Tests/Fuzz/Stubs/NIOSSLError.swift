/// Stands in for swift-nio-ssl, which takes minutes to build and of which the edge, without its listener, names nothing but this.
public enum NIOSSLError: Error, Equatable {
    case uncleanShutdown
}
